package lab

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// link is one connection through a proxy.
type link struct {
	proxy  *Proxy
	ends   [2]*net.TCPConn // who connected, the target
	once   sync.Once
	broken chan struct{} // closed by reset
}

// reset breaks a connection so that the other end is told.
func reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}

func (k *link) reset() {
	k.once.Do(func() {
		close(k.broken)
		for _, c := range k.ends {
			reset(c)
		}
	})
}

// chunk is some data and when it is due at the other end; err is how the data
// ended, after it.
type chunk struct {
	data []byte
	due  time.Time
	err  error
}

// What may be under way at once in one direction.
const (
	chunkSize = 64 << 10
	chunks    = 64
)

// move carries one way's data until it ends.
func (k *link) move(way Direction) {
	under := make(chan chunk, chunks)
	var reader sync.WaitGroup
	reader.Go(func() { k.read(way, under) })
	for c := range under {
		if k.wait(way, c.due) {
			k.deliver(way, c)
		}
	}
	reader.Wait()
}

// read ends at the latest when the link is reset: that closes what it reads.
func (k *link) read(way Direction, under chan<- chunk) {
	defer close(under)
	for {
		buffer := make([]byte, chunkSize)
		n, err := k.ends[way].Read(buffer)
		_, delay, _ := k.proxy.state(way)
		select {
		case under <- chunk{buffer[:n], time.Now().Add(delay), err}:
		case <-k.broken:
			return
		}
		if err != nil {
			return
		}
	}
}

// wait waits until something due may pass; false when the link was reset.
func (k *link) wait(way Direction, due time.Time) bool {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-k.broken:
		return false
	}
	for {
		cut, _, changed := k.proxy.state(way)
		if !cut {
			return true
		}
		select {
		case <-changed:
		case <-k.broken:
			return false
		}
	}
}

func (k *link) deliver(way Direction, c chunk) {
	to := k.ends[1-way]
	if _, err := to.Write(c.data); err != nil {
		k.reset()
		return
	}
	switch {
	case errors.Is(c.err, io.EOF):
		to.CloseWrite()
	case c.err != nil:
		k.reset()
	}
}
