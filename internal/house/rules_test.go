package house

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// pkg is one package of this module. Imports are those of the
// product: tests may reach further.
type pkg struct {
	ImportPath string
	Name       string
	Dir        string
	GoFiles    []string
	Imports    []string
}

const module = "popcorn"

// floors says how high each room stands; a room imports only lower ones.
var floors = map[string]int{
	"vm": 0, "syscalls": 0, "sys": 0, "house": 0,
	"coherence": 1, "image": 1,
	"wire": 2, "control": 2, "trust": 2, "cgroup": 2,
	"guest": 3,
	"pager": 4, "carry": 4,
	"bench": 5,
	"job":   6,
	"node":  7,
	"cli":   8,
	"cmd":   9,
	"test":  10,
}

// pure rooms hold laws and tables: no kernel, network, clock or goroutine.
// Among the rooms they import only each other.
var pure = []string{"vm", "coherence", "syscalls", "image"}

// pureStd is the part of the standard library they may use; a word ending in
// a slash also stands for what is below it.
var pureStd = []string{
	"bytes", "cmp", "container/", "encoding/", "errors", "fmt", "hash/", "iter", "maps", "math", "math/bits", "slices", "sort", "strconv",
	"strings", "time", "unicode/",
}

// raw are the packages that speak kernel ABI; only sys imports them, and what
// helps the tests, which is no part of the product.
var raw = []string{"syscall", "golang.org/x/sys/unix"}

// room is the folder that names a package's place: "vm" for
// popcorn/internal/vm/sub, "cmd" for popcorn/cmd/popcorn. It is empty for a
// package that is not ours.
func room(importPath string) string {
	rest, ok := strings.CutPrefix(importPath, module+"/")
	if !ok {
		return ""
	}
	rest = strings.TrimPrefix(rest, "internal/")
	first, _, _ := strings.Cut(rest, "/")
	return first
}

// violations returns a line for every import that breaks a rule.
func violations(pkgs []pkg) []string {
	var out []string
	for _, p := range pkgs {
		if isTool(p) {
			continue
		}
		if _, ok := floors[room(p.ImportPath)]; !ok {
			out = append(out, fmt.Sprintf("%s stands on no floor: give its room one in floors", p.ImportPath))
			continue
		}
		for _, imp := range p.Imports {
			if why := breaks(room(p.ImportPath), imp); why != "" {
				out = append(out, fmt.Sprintf("%s imports %s: %s", p.ImportPath, imp, why))
			}
		}
	}
	return out
}

// isTool: generators run at the developer's desk, not in the product.
func isTool(p pkg) bool { return p.Name == "main" && room(p.ImportPath) != "cmd" }

func breaks(from, imp string) string {
	to := room(imp)
	isPure := slices.Contains(pure, from)
	switch {
	case slices.Contains(raw, imp) && from != "sys" && from != "test":
		return "only sys speaks raw kernel ABI"
	case to == "" && isPure && !pureImport(imp):
		return from + " is pure"
	case to == "" || to == from:
		return ""
	case isPure && !slices.Contains(pure, to):
		return from + " is pure"
	case floors[to] >= floors[from]:
		return to + " does not stand below " + from
	}
	return ""
}

func pureImport(imp string) bool {
	return slices.ContainsFunc(pureStd, func(allowed string) bool {
		return imp == allowed || path.Clean(allowed) == imp || strings.HasSuffix(allowed, "/") && strings.HasPrefix(imp, allowed)
	})
}
