package carry

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// status is the lines of proc_pid_status(5), by name.
type status map[string]string

func readStatus(path string) (status, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read status of process: %w", err)
	}
	return parseLines(string(b)), nil
}

// parseLines reads lines of the form "name: value".
func parseLines(text string) status {
	s := status{}
	for line := range strings.SplitSeq(text, "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			s[name] = strings.TrimSpace(value)
		}
	}
	return s
}

func (s status) text(name string) string { return s[name] }

// number is a value in the given base, 0 when it is not there.
func (s status) number(name string, base int) uint64 {
	n, _ := strconv.ParseUint(s[name], base, 64)
	return n
}

func (s status) list(name string) (out []int) {
	for _, f := range strings.Fields(s[name]) {
		n, _ := strconv.Atoi(f)
		out = append(out, n)
	}
	return out
}

func (s status) four(name string) (out [4]int) {
	copy(out[:], s.list(name))
	return out
}

func splitFields(s string) []string { return strings.Fields(s) }

// splitZero is strings that each end with a zero byte.
func splitZero(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

func trim(b []byte) string { return strings.TrimSuffix(string(b), "\n") }
