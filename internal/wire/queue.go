package wire

// chunkSize is a compromise: a queue of a few frames costs one chunk, a queue
// of a gigabyte four thousand.
const chunkSize = 256 << 10

// maxSpare is how many emptied chunks are kept: what a stream of pages has under
// way and not acknowledged goes round in them, with nothing for the collector.
const maxSpare = 4

// queue is bytes in order, in chunks, so that growing never copies.
type queue struct {
	chunks [][]byte
	off    int      // bytes of chunks[0] already sent
	size   int      // bytes not yet sent
	spare  [][]byte // emptied, at most maxSpare
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
	if n := len(q.spare); n > 0 {
		c := q.spare[n-1]
		q.spare = q.spare[:n-1]
		return c[:0]
	}
	return make([]byte, 0, chunkSize)
}

// bufs appends the chunks from the byte skip on to dst, until it has limit of them.
func (q *queue) bufs(dst [][]byte, skip, limit int) [][]byte {
	skip += q.off
	for _, c := range q.chunks {
		if len(dst) == limit {
			break
		}
		if skip >= len(c) {
			skip -= len(c)
			continue
		}
		dst = append(dst, c[skip:])
		skip = 0
	}
	return dst
}

// drop forgets the first n bytes. A few emptied chunks are kept for reuse.
func (q *queue) drop(n int) {
	q.size -= n
	q.off += n
	k := 0
	for k < len(q.chunks) && q.off >= len(q.chunks[k]) {
		q.off -= len(q.chunks[k])
		if len(q.spare) < maxSpare {
			q.spare = append(q.spare, q.chunks[k])
		}
		k++
	}
	if k == 0 {
		return
	}
	kept := copy(q.chunks, q.chunks[k:])
	clear(q.chunks[kept:])
	q.chunks = q.chunks[:kept]
}

func (q *queue) reset() { *q = queue{} }
