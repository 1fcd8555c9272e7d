package lab

import (
	"encoding/json"
	"net"
	"os"
	"sync"
	"time"

	"popcorn/internal/sys"
)

// session runs one command with streams that come and go over c.
func (s *spawner) session(c net.Conn) {
	defer c.Close()
	from, to := json.NewDecoder(c), &frames{to: json.NewEncoder(c)}
	var o order
	if from.Decode(&o) != nil {
		return
	}
	ours, theirs, err := pipes()
	defer closeAll(ours)
	pid, code, done := 0, exitOurs, chan int(nil)
	if err == nil {
		o.Files = []int{0, 1, 2}
		pid, done, code, err = s.start(o, descriptors(theirs))
	}
	closeAll(theirs)
	if err != nil {
		to.send(frame{News: &news{Error: err.Error(), Code: code}})
		return
	}
	to.send(frame{News: &news{PID: pid}})
	var output sync.WaitGroup
	for _, stream := range []int{1, 2} {
		output.Go(func() { to.pump(stream, ours[stream]) })
	}
	go s.take(from, pid, ours[0])
	code = <-done
	// What its children hold open is not waited for without end.
	late := time.AfterFunc(afterExit, func() { closeAll(ours) })
	output.Wait()
	late.Stop()
	to.send(frame{News: &news{Done: true, Code: code}})
}

// take gives the command its input and signals; when the other end has gone, the
// command is killed.
func (s *spawner) take(from *json.Decoder, pid int, stdin *os.File) {
	for {
		var f frame
		switch err := from.Decode(&f); {
		case err != nil:
			s.signal(pid, sys.SIGKILL)
			return
		case f.Signal != 0:
			s.signal(pid, sys.Signal(f.Signal))
		case f.End:
			stdin.Close()
		default:
			stdin.Write(f.Data) // it need not read it
		}
	}
}

// pipes makes the three streams of a command.
func pipes() (ours, theirs []*os.File, err error) {
	for stream := range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			return ours, theirs, err
		}
		if stream == 0 {
			r, w = w, r
		}
		ours, theirs = append(ours, r), append(theirs, w)
	}
	return ours, theirs, nil
}

func descriptors(files []*os.File) (fds []int) {
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	return fds
}
