package wire

// chunkSize is a compromise: a queue of a few frames costs one chunk, a queue
// of a gigabyte four thousand.
const chunkSize = 256 << 10

// queue is bytes in order, in chunks, so that growing never copies.
type queue struct {
	chunks [][]byte
	off    int // bytes of chunks[0] already sent
	size   int // bytes not yet sent
	spare  []byte
}

func (q *queue) append(b []byte) {
	q.size += len(b)
	for len(b) > 0 {
		last := len(q.chunks) - 1
		if last < 0 || len(q.chunks[last]) == chunkSize {
			q.chunks = append(q.chunks, q.chunk())
			last++
		}
		c := q.chunks[last]
		n := min(len(b), chunkSize-len(c))
		q.chunks[last] = append(c, b[:n]...)
		b = b[n:]
	}
}

func (q *queue) chunk() []byte {
	if c := q.spare; c != nil {
		q.spare = nil
		return c[:0]
	}
	return make([]byte, 0, chunkSize)
}

// bufs appends the first chunks to dst, at most limit of them.
func (q *queue) bufs(dst [][]byte, limit int) [][]byte {
	for i, c := range q.chunks[:min(len(q.chunks), limit)] {
		if i == 0 {
			c = c[q.off:]
		}
		dst = append(dst, c)
	}
	return dst
}

// drop forgets the first n bytes. One emptied chunk is kept for reuse.
func (q *queue) drop(n int) {
	q.size -= n
	q.off += n
	k := 0
	for k < len(q.chunks) && q.off >= len(q.chunks[k]) {
		q.off -= len(q.chunks[k])
		q.spare = q.chunks[k]
		k++
	}
	kept := copy(q.chunks, q.chunks[k:])
	clear(q.chunks[kept:])
	q.chunks = q.chunks[:kept]
}

func (q *queue) reset() { *q = queue{} }
