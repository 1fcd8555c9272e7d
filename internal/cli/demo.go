package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"popcorn/internal/control"
)

const (
	demoNodes   = 3
	demoLimit   = 3 * time.Minute // for the run under popcorn; a hang is a failure, not a wait
	demoGlimpse = 200 * time.Millisecond
)

// demoCommand compresses file in blocks, so that each of four threads has
// some; what it writes does not depend on which thread is quicker.
func demoCommand(file string) []string {
	return []string{"xz", "-T4", "-2", "--block-size=2MiB", "--stdout", file}
}

func newDemo() *cobra.Command {
	size := 24
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch an ordinary program spread over three nodes",
		Long: `demo packs files of this machine, compresses them with the xz that is installed,
first natively, then with its threads spread over three local nodes, tells what
moved where, and compares the two results.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if size < 1 || size > 4096 {
				return usagef("--size %d: take 1 to 4096", size)
			}
			ctx, stop := interruptible(cmd)
			defer stop()
			return runDemo(ctx, cmd.OutOrStdout(), int64(size)<<20)
		},
	}
	cmd.Flags().IntVar(&size, "size", size, "how much to compress, in `MIB`")
	return cmd
}

// demo is one demonstration in its own folder.
type demo struct {
	out io.Writer
	dir string
}

func runDemo(ctx context.Context, out io.Writer, size int64) error {
	if _, err := exec.LookPath("xz"); err != nil {
		return fmt.Errorf("demo: there is no xz here; install xz-utils")
	}
	dir, err := os.MkdirTemp("", "popcorn-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer os.RemoveAll(dir)
	d := &demo{out: out, dir: dir}

	n, err := packFiles(d.file("input.tar"), demoRoots, size)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	command := demoCommand(d.file("input.tar"))
	d.say("The program is xz, as it came with this system. It compresses %d MiB of this machine's own files:", n>>20)
	d.say("    %s\n", strings.Join(command, " "))

	native, err := d.native(ctx, command)
	if err != nil {
		return err
	}
	spread, err := d.spread(ctx, command)
	if err != nil {
		return err
	}
	return d.compare(native, spread)
}

func (d *demo) file(name string) string { return filepath.Join(d.dir, name) }

func (d *demo) say(format string, a ...any) { fmt.Fprintf(d.out, format+"\n", a...) }

// native runs the command as it is and returns the checksum of its output.
func (d *demo) native(ctx context.Context, command []string) (string, error) {
	d.say("1. Natively, one process on this machine.")
	out, err := os.Create(d.file("native.xz"))
	if err != nil {
		return "", fmt.Errorf("demo: %w", err)
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("demo: %s: %w", command[0], err)
	}
	d.say("   It took %s.\n", tenths(time.Since(began)))
	return checksum(out.Name())
}

// spread runs the command over several nodes, tells where its threads were
// and what it cost, and returns the checksum of its output.
func (d *demo) spread(ctx context.Context, command []string) (string, error) {
	name := "demo-" + strconv.Itoa(os.Getpid())
	args := []string{"run", "--nodes", strconv.Itoa(demoNodes), "--spread", "--name", name, "--stats", d.file("stats.json"), "--"}
	d.say("2. The same command, its threads spread over %d nodes: processes that share nothing but TCP connections.", demoNodes)
	d.say("    popcorn %s %s", strings.Join(args, " "), strings.Join(command, " "))

	ctx, cancel := context.WithTimeout(ctx, demoLimit)
	defer cancel()
	out, err := os.Create(d.file("spread.xz"))
	if err != nil {
		return "", fmt.Errorf("demo: %w", err)
	}
	defer out.Close()
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("demo: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, append(args, command...)...)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("demo: %w", err)
	}
	widest := watch(ctx, name, cmd.Wait)
	if widest.err != nil {
		return "", fmt.Errorf("demo: popcorn run: %w", errors.Join(ctx.Err(), widest.err))
	}
	took := time.Since(began)
	if len(widest.info.Threads) > 0 {
		d.say("\n   Seen while it ran, by `popcorn ps --threads`:")
		if err := threadTable(&indent{w: d.out}, []control.Info{widest.info}); err != nil {
			return "", err
		}
	}
	if err := d.tellStats(); err != nil {
		return "", err
	}
	d.say("   It took %s; three nodes on one machine share its processors, so do not expect less than natively.\n", tenths(took))
	return checksum(out.Name())
}

// sighting is the job when its threads were at most nodes, and how it ended.
type sighting struct {
	info control.Info
	err  error
}

// watch looks at the job called name until wait, in a goroutine, has returned.
func watch(ctx context.Context, name string, wait func() error) sighting {
	ended := make(chan error, 1)
	go func() { ended <- wait() }()
	tick := time.NewTicker(demoGlimpse)
	defer tick.Stop()
	var s sighting
	for {
		select {
		case s.err = <-ended:
			return s
		case <-tick.C:
		}
		e, err := control.Find(name)
		if err != nil {
			continue // not there yet, or just gone
		}
		if info := describe(ctx, e); breadth(info) > breadth(s.info) {
			s.info = info
		}
	}
}

// breadth counts the nodes at which a job has threads.
func breadth(info control.Info) int {
	at := map[int]bool{}
	for _, t := range info.Threads {
		at[t.Node] = true
	}
	return len(at)
}

func (d *demo) tellStats() error {
	text, err := os.ReadFile(d.file("stats.json"))
	if err != nil {
		return fmt.Errorf("demo: read statistics: %w", err)
	}
	var s runStats
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("demo: read statistics: %w", err)
	}
	d.say("\n   What its --stats tell:")
	return s.print(&indent{w: d.out})
}

func (d *demo) compare(native, spread string) error {
	d.say("3. The two results, sha256:")
	d.say("   natively  %s", native)
	d.say("   spread    %s", spread)
	if native != spread {
		return errors.New("demo: the results differ: this is a bug")
	}
	d.say("   They are equal.")
	return nil
}

func checksum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("demo: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("demo: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func tenths(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// indent puts three blanks before each line; lines may come in pieces.
type indent struct {
	w      io.Writer
	within bool // a line has begun
}

func (i *indent) Write(p []byte) (int, error) {
	var b strings.Builder
	for line := range strings.Lines(string(p)) {
		if !i.within {
			b.WriteString("   ")
		}
		b.WriteString(line)
		i.within = !strings.HasSuffix(line, "\n")
	}
	_, err := io.WriteString(i.w, b.String())
	return len(p), err
}
