package cli

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// hostSlots is a host of a list and how many threads it should have at a time.
type hostSlots struct {
	name  string
	slots int
}

// maxListed bounds what a list may expand to.
const maxListed = 4096

// parseHosts reads a list of hosts: names with an optional ":SLOTS", separated by
// commas, where name[1-3,6] stands for name1, name2, name3 and name6, and @FILE
// for the hosts of a hostfile.
func parseHosts(list string) ([]hostSlots, error) {
	var out []hostSlots
	for _, item := range splitOutside(list) {
		if file, ok := strings.CutPrefix(item, "@"); ok {
			more, err := readHostfile(file)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
			continue
		}
		more, err := parseHost(item)
		if err != nil {
			return nil, fmt.Errorf("host list %q: %w", list, err)
		}
		if out = append(out, more...); len(out) > maxListed {
			return nil, fmt.Errorf("host list %q: more than %d hosts", list, maxListed)
		}
	}
	return out, nil
}

// splitOutside splits at commas that stand outside of brackets.
func splitOutside(list string) []string {
	var out []string
	depth, from := 0, 0
	for i, c := range list {
		switch {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == ',' && depth == 0:
			out = append(out, strings.TrimSpace(list[from:i]))
			from = i + 1
		}
	}
	return append(out, strings.TrimSpace(list[from:]))
}

func parseHost(item string) ([]hostSlots, error) {
	name, count, counted := strings.Cut(item, ":")
	slots := 1
	if counted {
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 || n > maxListed {
			return nil, fmt.Errorf("%q: the slots of a host are a number from 1", item)
		}
		slots = n
	}
	names, err := expand(name)
	if err != nil {
		return nil, err
	}
	out := make([]hostSlots, len(names))
	for i, n := range names {
		out[i] = hostSlots{n, slots}
	}
	return out, nil
}

// expand turns node[1-3,6] into its four names; leading zeros are kept.
func expand(name string) ([]string, error) {
	before, rest, ok := strings.Cut(name, "[")
	if !ok {
		if !isHostName(name) {
			return nil, fmt.Errorf("%q is no name of a host", name)
		}
		return []string{name}, nil
	}
	ranges, after, closed := strings.Cut(rest, "]")
	if !closed || strings.ContainsAny(after, "[]") {
		return nil, fmt.Errorf("%q: write one pair of brackets, as in node[1-3,6]", name)
	}
	var out []string
	for _, r := range strings.Split(ranges, ",") {
		numbers, err := numbersOf(r)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		for _, n := range numbers {
			if !isHostName(before + n + after) {
				return nil, fmt.Errorf("%q is no name of a host", before+n+after)
			}
			out = append(out, before+n+after)
		}
	}
	return out, nil
}

func numbersOf(r string) ([]string, error) {
	low, high, ok := strings.Cut(r, "-")
	if !ok {
		high = low
	}
	from, err1 := strconv.Atoi(low)
	to, err2 := strconv.Atoi(high)
	if err1 != nil || err2 != nil || from < 0 || to < from || to-from >= maxListed {
		return nil, fmt.Errorf("%q is no range of numbers", r)
	}
	var out []string
	for n := from; n <= to; n++ {
		out = append(out, fmt.Sprintf("%0*d", len(low), n))
	}
	return out, nil
}

func isHostName(s string) bool {
	for _, c := range s {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._", c) {
			return false
		}
	}
	return s != "" && s[0] != '-'
}

// readHostfile reads a file as MPI has them: a host a line, "name", "name:4" or
// "name slots=4", with comments from # on.
func readHostfile(name string) ([]hostSlots, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read hostfile: %w", err)
	}
	defer f.Close()
	var out []hostSlots
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		for _, f := range fields[1:] {
			if slots, ok := strings.CutPrefix(f, "slots="); ok {
				fields[0] += ":" + slots
			} else if !strings.HasPrefix(f, "max") { // max_slots and the like bound what we never do
				return nil, fmt.Errorf("hostfile %s, line %d: %q is not understood", name, n, f)
			}
		}
		more, err := parseHost(fields[0])
		if err != nil {
			return nil, fmt.Errorf("hostfile %s, line %d: %w", name, n, err)
		}
		out = append(out, more...)
	}
	return out, lines.Err()
}
