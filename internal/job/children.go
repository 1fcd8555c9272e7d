package job

import (
	"errors"
	"fmt"
	"time"

	"popcorn/internal/sys"
)

// A child that outlives the program (a daemon, a background job of a shell) lives
// on under the filter it inherited, whose notifications somebody must answer: a
// process of ours that is left behind for as long as there are such children.

// leaveChildren starts that process when it is needed; the program has ended.
func (o *origin) leaveChildren() error {
	if o.listener < 0 {
		return nil
	}
	if over, err := deserted(o.listener, 0); over || err != nil {
		return err
	}
	null, err := sys.Open("/dev/null", sys.O_RDWR|sys.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/null: %w", err)
	}
	defer sys.Close(null)
	_, err = sys.Spawn("/proc/self/exe", sys.SpawnAttr{Argv: []string{"popcorn", "supervise", "heir"}, Env: supervisorEnv(),
		Dir: "/", Files: []int{null, null, null, o.listener}, Session: true})
	if err != nil {
		return fmt.Errorf("leave children of the program behind: %w", err)
	}
	return nil
}

// heir is the body of that process: descriptor 3 is the listener. Every call
// passes: the memory of these children is nobody else's.
func heir() int {
	const listener = 3
	for {
		over, err := deserted(listener, -1)
		if over {
			return 0
		}
		if err != nil {
			return exitOwn
		}
		if n, err := sys.NotifRecv(listener); err == nil { // else the caller has died
			sys.NotifContinue(listener, n.ID)
		}
	}
}

// deserted tells, once listener has a notification or nobody lives under its
// filter, which of them it is: true for the latter. A patience of 0 does not
// wait; false then also stands for neither.
func deserted(listener int, patience time.Duration) (bool, error) {
	e, err := sys.NewEpoll()
	if err != nil {
		return false, fmt.Errorf("make epoll: %w", err)
	}
	defer e.Close()
	if err := e.Add(listener, sys.EPOLLIN, 0); err != nil {
		return false, fmt.Errorf("watch listener: %w", err)
	}
	var events [1]sys.Event
	n, err := e.Wait(events[:], patience)
	if err != nil && !errors.Is(err, sys.EINTR) {
		return false, fmt.Errorf("wait for listener: %w", err)
	}
	return n == 1 && events[0].Events&sys.EPOLLIN == 0 && events[0].Events&sys.EPOLLHUP != 0, nil
}
