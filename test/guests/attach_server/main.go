// only: attach

// Command attach_server is found running: an HTTP server of the standard library
// that answers with the square of what it is asked, until SIGTERM.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
)

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var served atomic.Int64
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.URL.Query().Get("n"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		served.Add(1)
		fmt.Fprint(w, n*n)
	})}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	go s.Serve(l)
	fmt.Println("ready", l.Addr())
	<-ended
	s.Shutdown(context.Background())
	fmt.Println("served", served.Load())
	fmt.Println("EXIT-SUCCESS")
}
