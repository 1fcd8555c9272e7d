package carry

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"popcorn/internal/image"
	"popcorn/internal/sys"
)

// anonymous tells of descriptors without a file: fdinfo has what they hold
// (proc_pid_fdinfo(5)).
func (d *Draft) anonymous(h *handle, text string, no func(why, do string) (image.Open, bool)) (image.Open, bool) {
	switch strings.TrimPrefix(h.link, "anon_inode:") {
	case "[eventfd]":
		return image.Open{Type: image.EventFD, Count: h.number("eventfd-count", 16), Sema: h.number("eventfd-semaphore", 10) == 1}, true
	case "[timerfd]":
		return d.timerfd(h)
	case "[signalfd]":
		return image.Open{Type: image.SignalFD, Mask: h.number("sigmask", 16)}, true
	case "[eventpoll]":
		return image.Open{Type: image.Epoll, Watches: parseWatches(text)}, true
	}
	return no("this kind of descriptor is not carried yet", "have the program close it")
}

// timerfd asks for the time left before it looks at the expirations: a periodic
// timer that has expired counts only then how often (fs/timerfd.c).
func (d *Draft) timerfd(h *handle) (image.Open, bool) {
	value, interval, err := sys.TimerFDLeft(h.ours)
	text, err2 := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", h.ours))
	if err = errors.Join(err, err2); err != nil {
		d.obstacle(h.link, h.owner(), "its time cannot be read: "+err.Error(), "have the program close it")
		return image.Open{}, false
	}
	info := parseLines(string(text))
	return image.Open{Type: image.TimerFD, Clock: int(info.number("clockid", 10)), Count: info.number("ticks", 10),
		Value: uint64(value), Interval: uint64(interval)}, true
}

// parseWatches reads the lines "tfd: 5 events: 19 data: 5 pos:0 ino:60 sdev:9".
func parseWatches(text string) (out []image.Watch) {
	for line := range strings.SplitSeq(text, "\n") {
		if !strings.HasPrefix(line, "tfd:") {
			continue
		}
		f := strings.Fields(strings.ReplaceAll(line, ":", ": "))
		if len(f) < 6 {
			continue
		}
		fd, _ := strconv.Atoi(f[1])
		events, _ := strconv.ParseUint(f[3], 16, 32)
		data, _ := strconv.ParseUint(f[5], 16, 64)
		out = append(out, image.Watch{FD: fd, Events: uint32(events), Data: data, File: -1})
	}
	return out
}

// resolveWatches finds what epoll instances watch. The number a descriptor was
// added by may mean something else by now, or nothing: the kernel watches on, but
// nobody can add it so again.
func (d *Draft) resolveWatches() {
	p := &d.Image.Process
	for i := range p.Files {
		for k := range p.Files[i].Watches {
			w := &p.Files[i].Watches[k]
			for _, n := range p.FDs {
				if n.FD == w.FD {
					w.File = n.File
				}
			}
			if w.File < 0 && len(d.Obstacles) == 0 {
				d.obstacle(fmt.Sprintf("descriptor %d in an epoll instance", w.FD), d.owner(), "it has been closed since it was added",
					"have the program remove it")
			}
		}
	}
}

// pipe tells of one end of a pipe.
func (d *Draft) pipe(h *handle) (image.Open, bool) {
	o := image.Open{Type: image.PipeRead, Pipe: h.stat.Ino}
	switch h.number("flags", 8) & 3 {
	case sys.O_WRONLY:
		o.Type = image.PipeWrite
	case sys.O_RDWR:
		o.Type = image.PipeBoth
	}
	if !d.s.Still {
		return o, true // who reads or writes has it locked, and may wait for a page from us
	}
	room, err := sys.PipeRoom(h.ours)
	if err != nil {
		d.obstacle(h.link, h.owner(), "its size cannot be read: "+err.Error(), "have the program close it")
		return o, false
	}
	o.Room = room
	if o.Type != image.PipeWrite {
		data, err := sys.PeekPipe(h.ours, room)
		if err != nil {
			d.obstacle(h.link, h.owner(), "its content cannot be read: "+err.Error(), "have the program read it")
			return o, false
		}
		if len(data) > 0 {
			d.blobs = append(d.blobs, blob{data: data, fd: -1, size: int64(len(data))})
			o.Blob = len(d.blobs)
		}
	}
	return o, true
}

// lookPipes finds pipes that lead to other processes. One whose other end is
// closed everywhere leads nowhere, and is carried so.
func (d *Draft) lookPipes() {
	pipes := map[uint64]bool{}
	for _, o := range d.Image.Process.Files {
		if o.Pipe != 0 {
			pipes[o.Pipe] = true
		}
	}
	d.lookHolders("pipe:[%d]", pipes, "have both processes close it; the standard streams of popcorn run are connected anew")
}

// lookHolders finds pipes or sockets, by inode, that other processes have open, too; form
// is how /proc shows them.
func (d *Draft) lookHolders(form string, inodes map[uint64]bool, do string) {
	if len(inodes) == 0 {
		return
	}
	for ino, pid := range holders(form, inodes, d.s.Proc.PID) {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		d.obstacle(fmt.Sprintf(form, ino), d.owner(), fmt.Sprintf("process %d %s has an end of it", pid, trim(comm)), do)
	}
}

// holders tells which process besides pid has one of those open.
func holders(form string, inodes map[uint64]bool, pid int) map[uint64]int {
	found := map[uint64]int{}
	procs, _ := os.ReadDir("/proc")
	for _, e := range procs {
		other, err := strconv.Atoi(e.Name())
		if err != nil || other == pid || other == sys.Getpid() {
			continue
		}
		fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", other)) // of others we may not look: nothing
		for _, fd := range fds {
			link, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", other, fd.Name()))
			var ino uint64
			if n, _ := fmt.Sscanf(link, form, &ino); n == 1 && inodes[ino] {
				found[ino] = other
			}
		}
	}
	return found
}

// lookTimers reads /proc/PID/timers: four lines a timer.
func (d *Draft) lookTimers() error {
	f, err := os.Open(d.path("timers"))
	if err != nil {
		return nil // a kernel without CONFIG_CHECKPOINT_RESTORE does not tell
	}
	defer f.Close()
	p := &d.Image.Process
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "ID":
			id, _ := strconv.Atoi(value)
			p.Timers = append(p.Timers, image.Timer{ID: id})
		case "signal", "notify", "ClockID":
			if n := len(p.Timers); n > 0 {
				d.timerLine(&p.Timers[n-1], name, value)
			}
		}
	}
	return nil
}
