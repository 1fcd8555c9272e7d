// A Go program of everything its run time does: garbage, timers, files, a
// listener, a select, a child process, a recovered nil dereference, a mutex.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sort"
	"strings"
	"sync"
	"time"
)

func main() {
	must(garbage() == 64)
	must(talk() == "HELLO")
	must(recovered())
	out, err := exec.Command("/bin/echo", "child").Output()
	must(err == nil && string(out) == "child\n")
	must(os.WriteFile("f", []byte("file"), 0o600) == nil)
	data, err := os.ReadFile("f")
	must(err == nil && string(data) == "file")
	select {
	case <-time.After(20 * time.Millisecond):
	case <-make(chan int):
	}
	fmt.Println("EXIT-SUCCESS")
}

func must(ok bool) {
	if !ok {
		panic("wrong")
	}
}

func garbage() int {
	var mu sync.Mutex
	var wg sync.WaitGroup
	kept := map[int][]byte{}
	for g := range 64 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 50 {
				b := make([]byte, 1<<12)
				b[i] = byte(g)
				mu.Lock()
				kept[g] = b
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	runtime.GC()
	keys := make([]int, 0, len(kept))
	for k, b := range kept {
		must(b[49] == byte(k))
		keys = append(keys, k)
	}
	sort.Ints(keys)
	return len(keys)
}

func talk() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err == nil)
	defer l.Close()
	go func() {
		c, err := l.Accept()
		must(err == nil)
		b := make([]byte, 5)
		_, err = io.ReadFull(c, b)
		must(err == nil)
		fmt.Fprint(c, strings.ToUpper(string(b)))
		c.Close()
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	must(err == nil)
	fmt.Fprint(c, "hello")
	b, err := io.ReadAll(c)
	must(err == nil)
	return string(b)
}

func recovered() (ok bool) {
	defer func() { ok = recover() != nil }()
	var p *int
	return *p == 0
}
