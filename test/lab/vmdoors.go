package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A door hands its streams to process 1, which a virtual machine cannot take: there
// the test does, and carries over TCP what goes through them. A session is one
// command; either end of it ends both the command and the door.

// frame is one line of JSON. To the machine go an order first, then input and
// signals; from it come output and news.
type frame struct {
	Stream int    // what Data is of, or has ended with End
	Data   []byte `json:",omitempty"`
	End    bool   `json:",omitempty"`
	Signal int    `json:",omitempty"`
	News   *news  `json:",omitempty"`
}

// frames writes frames; several may.
type frames struct {
	mu sync.Mutex
	to *json.Encoder
}

func (f *frames) send(one frame) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.to.Encode(one)
}

// pump sends what is read of a stream until it ends.
func (f *frames) pump(stream int, from *os.File) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && f.send(frame{Stream: stream, Data: buffer[:n]}) != nil {
			return
		}
		if err != nil {
			f.send(frame{Stream: stream, End: true})
			return
		}
	}
}

// serve answers doors until the machine is switched off.
func (v *virtual) serve() {
	for {
		c, err := v.doors.AcceptUnix()
		if err != nil {
			return
		}
		v.all.Go(func() { v.carry(c) })
	}
}

func (v *virtual) carry(door *net.UnixConn) {
	defer door.Close()
	defer context.AfterFunc(v.life, func() { door.Close() })()
	o, in, fds, err := receive(door)
	var files []*os.File
	for _, fd := range fds {
		unix.SetNonblock(fd, true) // so that closing ends reading
		files = append(files, os.NewFile(uintptr(fd), "stream"))
	}
	defer closeAll(files)
	tell := json.NewEncoder(door)
	if err == nil && len(files) < 3 {
		err = errVirtual // closed ones are not what anybody asked for
	}
	var c net.Conn
	if err == nil {
		c, err = v.dial()
	}
	if err != nil {
		tell.Encode(news{Error: err.Error(), Code: exitOurs})
		return
	}
	defer c.Close()
	defer context.AfterFunc(v.life, func() { c.Close() })()
	v.session(c, o, in, files, tell)
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// dial reaches process 1 from where all cables end.
func (v *virtual) dial() (c net.Conn, err error) {
	err = inNetwork(v.host.lab.net.ns, func() (err error) {
		ctx, cancel := context.WithTimeout(v.life, powerLimit)
		defer cancel()
		address := net.JoinHostPort(v.host.Addr.String(), strconv.Itoa(virtualPort))
		c, err = (&net.Dialer{}).DialContext(ctx, "tcp", address)
		return err
	})
	return c, err
}

func (v *virtual) session(c net.Conn, o order, in *bufio.Reader, files []*os.File, tell *json.Encoder) {
	var ways sync.WaitGroup
	defer ways.Wait()
	defer files[0].Close()
	out := &frames{to: json.NewEncoder(c)}
	if out.to.Encode(o) != nil {
		return
	}
	ways.Go(func() { out.pump(0, files[0]) })
	stop := make(chan struct{})
	defer close(stop)
	ways.Go(func() {
		passSignals(in, out)
		c.Close() // the door has gone
	})
	deliver(c, files, tell)
}

// passSignals sends what the door writes, until its end.
func passSignals(in *bufio.Reader, out *frames) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if n, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
			out.send(frame{Signal: n})
		}
	}
}

// deliver writes the machine's output and news where they belong, until there are
// no more.
func deliver(c net.Conn, files []*os.File, tell *json.Encoder) {
	for from := json.NewDecoder(c); ; {
		var f frame
		if from.Decode(&f) != nil {
			return
		}
		switch {
		case f.News != nil:
			tell.Encode(f.News)
			if f.News.Done || f.News.Error != "" {
				return
			}
		case f.Stream != 1 && f.Stream != 2:
			return
		case f.End:
			files[f.Stream].Close()
		default:
			files[f.Stream].Write(f.Data) // who reads it may have gone
		}
	}
}

// listenForDoors makes a socket on this side of the hosts.
func listenForDoors() (*net.UnixListener, error) {
	return net.ListenUnix("unix", &net.UnixAddr{Name: doorName(), Net: "unix"})
}
