package lab

import (
	"bytes"
	"sync"
)

// console is what a virtual machine has printed.
type console struct {
	ready chan struct{} // closed when process 1 has said so

	mu   sync.Mutex
	text []byte
	said bool
}

// consoleReady is the line of process 1 that nothing else prints.
const consoleReady = "popcorn-lab: ready"

func newConsole() *console { return &console{ready: make(chan struct{})} }

// Write takes what is printed, as exec.Cmd hands it on.
func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, b...)
	if !c.said && bytes.Contains(c.text, []byte(consoleReady)) {
		c.said = true
		close(c.ready)
	}
	return len(b), nil
}

// tail is the last of it.
func (c *console) tail() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	const most = 8 << 10
	return bytes.Clone(c.text[max(0, len(c.text)-most):])
}
