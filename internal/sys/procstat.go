package sys

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// ReadStat is the fields of a file of the form of proc_pid_stat(5), the first at index
// 1. There are at least the three up to the state.
func ReadStat(name string) ([]string, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f := statFields(string(b))
	if len(f) < 4 {
		return nil, fmt.Errorf("read %s: %w", name, errStat)
	}
	return f, nil
}

var errStat = errors.New("unknown format")

// statFields leaves the second empty: the name, in parentheses, may hold blanks and
// parentheses.
func statFields(stat string) []string {
	i := strings.LastIndex(stat, ") ")
	if i < 0 {
		return nil
	}
	return append([]string{"", "", ""}, strings.Fields(stat[i+2:])...)
}
