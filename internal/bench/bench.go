package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"popcorn/internal/sys"
)

// Config says how to measure.
type Config struct {
	// Popcorn is the popcorn program, whose run starts the measured jobs.
	Popcorn string
	// Rounds is how often everything is measured; each round has its own floor.
	Rounds int
	// IdlePoll also measures while idle processors are kept polling.
	IdlePoll bool
	// Progress, if not nil, is told what begins.
	Progress func(string)
}

// Report is what Run measured.
type Report struct {
	// IdlePoll: idle processors were kept polling meanwhile.
	IdlePoll bool     `json:"idle_poll"`
	Results  []Result `json:"results"`
}

// round is the samples of one round.
type round struct{ here, floor samples }

// runLimit is how long one program may take; a hang is a failure, not a wait.
const runLimit = time.Minute

// Run measures everything, once or, with IdlePoll, once in each mode.
func Run(ctx context.Context, cfg Config) ([]Report, error) {
	guest, err := guestFile()
	if err != nil {
		return nil, err
	}
	defer guest.Close()
	b := &bench{Config: cfg, guest: pathOf(guest)}
	if b.Progress == nil {
		b.Progress = func(string) {}
	}
	reports := make([]Report, 0, 2)
	plain, err := b.mode(ctx, false)
	if err != nil {
		return nil, err
	}
	reports = append(reports, plain)
	if !cfg.IdlePoll {
		return reports, nil
	}
	polling, err := b.mode(ctx, true)
	if err != nil {
		return nil, err
	}
	return append(reports, polling), nil
}

// guestFile is the measuring program in memory, open for reading only: what is
// open for writing cannot be executed (ETXTBSY).
func guestFile() (*os.File, error) {
	if len(guestELF) == 0 {
		return nil, errors.New("bench: there is no measuring program for this processor")
	}
	fd, err := sys.Memfd("popcorn-bench", 0)
	if err != nil {
		return nil, fmt.Errorf("make file for measuring program: %w", err)
	}
	w := os.NewFile(uintptr(fd), "popcorn-bench")
	defer w.Close()
	if _, err := w.Write(guestELF); err != nil {
		return nil, fmt.Errorf("write measuring program: %w", err)
	}
	r, err := os.Open(pathOf(w))
	if err != nil {
		return nil, fmt.Errorf("open measuring program: %w", err)
	}
	return r, nil
}

// pathOf is by what path other processes find a file without name.
func pathOf(f *os.File) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()) }

type bench struct {
	Config
	guest string
}

func (b *bench) mode(ctx context.Context, idlePoll bool) (Report, error) {
	if idlePoll {
		f, err := sys.HoldCPULatency()
		if err != nil {
			return Report{}, err
		}
		defer f.Close()
	}
	var rounds []round
	for i := range b.Rounds {
		r, err := b.round(ctx, fmt.Sprintf("round %d of %d", i+1, b.Rounds))
		if err != nil {
			return Report{}, err
		}
		rounds = append(rounds, r)
	}
	rep := Report{IdlePoll: idlePoll}
	for _, r := range rows {
		rep.Results = append(rep.Results, r.evaluate(rounds))
	}
	return rep, nil
}

// round runs every floor next to what stands beside it.
func (b *bench) round(ctx context.Context, name string) (round, error) {
	r := round{samples{}, samples{}}
	var done []string
	for _, row := range rows {
		if row.floorMode == "" {
			if err := b.encrypted(ctx, row, r, name); err != nil {
				return r, err
			}
			continue
		}
		if !slices.Contains(done, row.floorMode) {
			b.Progress(name + ": " + row.name + ", floor")
			if err := b.run(ctx, r.floor, b.guest, row.floorMode); err != nil {
				return r, err
			}
		}
		if !slices.Contains(done, row.mode) {
			b.Progress(name + ": " + row.name)
			// By TCP, as the floors; local nodes talk by a unix socket otherwise.
			if err := b.run(ctx, r.here, b.Popcorn, "run", "--nodes", "2", "--transport", "tcp", "--", b.guest, row.mode); err != nil {
				return r, err
			}
		}
		done = append(done, row.floorMode, row.mode)
	}
	return r, nil
}

// encrypted measures row between nodes that talk by TLS. Its floor is the same by
// plain TCP.
func (b *bench) encrypted(ctx context.Context, row row, r round, name string) error {
	b.Progress(name + ": " + row.name)
	by := map[string]samples{"tcp": {}, "tls": {}}
	for transport, got := range by {
		if err := b.run(ctx, got, b.Popcorn, "run", "--nodes", "2", "--transport", transport, "--", b.guest, row.mode); err != nil {
			return err
		}
	}
	r.here[row.what], r.floor[row.what] = by["tls"][row.floorWhat], by["tcp"][row.floorWhat]
	return nil
}

// run adds to s what a program measured.
func (b *bench) run(ctx context.Context, s samples, argv ...string) error {
	mode := argv[len(argv)-1]
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = environment()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("measure %s: %w: %s", mode, errors.Join(ctx.Err(), err), strings.TrimSpace(errs.String()))
	}
	got, err := parse(out.Bytes())
	if err != nil {
		return fmt.Errorf("measure %s: %w", mode, err)
	}
	for w, v := range got {
		s[w] = append(s[w], v...)
	}
	return nil
}

// environment is ours without settings of popcorn run that would change what is
// measured.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return slices.Contains([]string{"POPCORN_NODES", "POPCORN_ON", "POPCORN_SPREAD", "POPCORN_STATS"}, name)
	})
}
