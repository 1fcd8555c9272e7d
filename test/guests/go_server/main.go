// only: servers_test.go

// Command go_server is an HTTP server of the standard library at a unix socket. It
// answers with sums of what it is sent, computed in a goroutine of their own, until
// SIGTERM.
package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

func main() {
	l, err := net.Listen("unix", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	http.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		times, err := strconv.Atoi(r.URL.Query().Get("times"))
		body, err2 := io.ReadAll(r.Body)
		if err != nil || err2 != nil {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		sum := make(chan []byte)
		go func() {
			last := sha256.Sum256(body)
			for range times {
				last = sha256.Sum256(last[:])
			}
			sum <- last[:]
		}()
		fmt.Fprintf(w, "%x ", <-sum)
		w.Write(body)
	})
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	var s http.Server
	go s.Serve(l)
	<-ended
	if err := s.Shutdown(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
