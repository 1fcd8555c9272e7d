package test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"popcorn/test/lab"
)

// storm breaks connections between hosts of a cluster until its stop.
type storm struct {
	broken int
	quit   chan struct{}
	all    sync.WaitGroup
}

// storm severs, every 50 to 300 ms, what two hosts have with each other.
func (c *cluster) storm(r *rand.Rand) *storm {
	s := &storm{quit: make(chan struct{})}
	hosts := c.lab.Hosts()
	s.all.Go(func() {
		for {
			select {
			case <-s.quit:
				return
			case <-time.After(time.Duration(50+r.IntN(250)) * time.Millisecond): // the random moment
			}
			pair := r.Perm(len(hosts))
			s.broken += c.lab.Reset(hosts[pair[0]], hosts[pair[1]])
		}
	})
	return s
}

// stop tells how many connections were broken.
func (s *storm) stop() int {
	close(s.quit)
	s.all.Wait()
	return s.broken
}

// TestClusterSevered: programs whose connections between hosts break all the time,
// once they run, do what they do natively: no call is made twice or not at all, no write to memory is
// lost, and threads that move arrive.
func TestClusterSevered(t *testing.T) {
	c := newCluster(t, 3)
	r := random(t)
	records := full(1500, 40000)
	for _, p := range []struct {
		guest string
		args  []string
		flags []string
		until string
	}{
		{"records", []string{strconv.Itoa(records)}, []string{"-H", "b,c", "--spread"}, "1 away"},
		{"records", []string{strconv.Itoa(records)}, []string{"-H", "b,c", "--on", "2"}, "2 away"},
		{"thr_atomics", []string{full("8000000", "40000000")}, []string{"-H", "b,c", "--spread"}, "1 away"},
		{"thr_commute", []string{full("400", "10000")}, []string{"-H", "b,c", "--spread"}, "1 away"},
		{"litmus_sb", []string{full("30000", "1000000"), "0,1,2", "same"}, []string{"-H", "b,c", "--spread"}, "1 away"},
	} {
		t.Run(p.guest+" "+p.flags[2], func(t *testing.T) {
			broken := 0
			for runs := 1; broken < 10 && !t.Failed(); runs++ { // a machine may be too fast for one run
				job := c.run(p.flags, append([]string{c.put(guest(t, p.guest))}, p.args...)...)
				c.until(c.lab.Host("a"), p.until)
				s := c.storm(r)
				code, out, errs := c.end(job, 2*time.Minute)
				broken += s.stop()
				if code != 0 || !strings.HasSuffix(out, "EXIT-SUCCESS\n") {
					t.Errorf("exit code %d\n%s\n%s", code, out, tail([]byte(errs)))
				}
				if broken < runs {
					t.Errorf("only %d connections were broken in %d runs", broken, runs)
				}
				if p.guest == "records" {
					data, err := c.lab.Host("a").ReadFile(job.dir + "/records")
					if want := expectedRecords(records); err != nil || !bytes.Equal(data, want) {
						t.Errorf("wrong records, %v; first wrong byte %d", err, firstDifference(want, data))
					}
				}
			}
			t.Logf("%d connections were broken", broken)
		})
	}
	for _, h := range c.lab.Hosts() {
		c.onlyDaemons(h)
	}
}

// outages are ways in which two hosts do not reach each other for a while, shorter than
// the loss timeout.
var outages = map[string]func(c *cluster, a, b *lab.Host){
	// What is between them loses everything, and goes on as if nothing had been.
	"silent": func(c *cluster, a, b *lab.Host) {
		c.lab.Cut(a, b)
	},
	// It loses what goes one way.
	"one way": func(c *cluster, a, b *lab.Host) {
		c.lab.CutOneWay(b, a)
	},
	// It forgets the connections, and only one end hears of it.
	"forgotten by a": func(c *cluster, a, b *lab.Host) {
		c.lab.Cut(a, b)
		c.lab.Reset(a, b)
	},
	"forgotten by b": func(c *cluster, a, b *lab.Host) {
		c.lab.Cut(a, b)
		c.lab.Reset(b, a)
	},
}

// TestClusterOutage: an outage between two hosts that is over in time is over.
func TestClusterOutage(t *testing.T) {
	c := newCluster(t, 3)
	a, b := c.lab.Host("a"), c.lab.Host("b")
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			job := c.run([]string{"-H", "b,c", "--spread", "--loss-timeout", "20s"}, c.put(guest(t, "records")), "4000")
			c.until(a, "1 away")
			outage(c, a, b)
			time.Sleep(4 * time.Second) // the outage
			c.lab.Heal(a, b)
			code, out, errs := c.end(job, time.Minute)
			if code != 0 || !strings.HasSuffix(out, "EXIT-SUCCESS\n") {
				t.Errorf("exit code %d\n%s\n%s", code, out, tail([]byte(errs)))
			}
			data, err := a.ReadFile(job.dir + "/records")
			if want := expectedRecords(4000); err != nil || !bytes.Equal(data, want) {
				t.Errorf("wrong records, %v; first wrong byte %d", err, firstDifference(want, data))
			}
		})
	}
}

// TestClusterSupervisorKilled: that a supervisor on another host has died is found
// out at once, not only after the time that a host may be silent.
func TestClusterSupervisorKilled(t *testing.T) {
	c := newCluster(t, 3)
	a, b := c.lab.Host("a"), c.lab.Host("b")
	job := c.run([]string{"-H", "b,c", "--spread", "--loss-timeout", "1m"}, c.put(guest(t, "records")), "100000000")
	c.until(a, "1 away")
	if err := b.Kill(c.supervisor(b), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := c.end(job, 20*time.Second); code != 125 || !strings.Contains(errs, "node 1 (b) is lost") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	for _, h := range c.lab.Hosts() {
		c.onlyDaemons(h)
	}
}

// supervisor is the process of the only supervisor on a host.
func (c *cluster) supervisor(h *lab.Host) int {
	c.t.Helper()
	list, err := h.Processes()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, p := range list {
		line, _ := h.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID))
		if bytes.HasPrefix(line, []byte("popcorn\x00supervise\x00")) {
			return p.PID
		}
	}
	c.t.Fatalf("no supervisor on %s", h.Name)
	return 0
}

// TestClusterRemotesApart: two hosts that the first reaches, but that do not reach each
// other any more, end the job with a reason; nobody waits for ever for a page of the other's.
func TestClusterRemotesApart(t *testing.T) {
	c := newCluster(t, 3)
	job := c.run([]string{"-H", "b,c", "--spread", "--loss-timeout", lossTimeout.String()}, c.put(guest(t, "records")), "100000000")
	c.until(c.lab.Host("a"), "1 away")
	c.lab.Cut(c.lab.Host("b"), c.lab.Host("c"))
	if code, _, errs := c.end(job, lossOver); code != 125 || !strings.Contains(errs, "does not reach it") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	for _, h := range c.lab.Hosts() {
		c.onlyDaemons(h)
	}
}
