package syscalls

import (
	"slices"
	"strings"
)

// Proofs tells for each call the programs that test it from a thread that is away:
// those whose first lines claim it in a comment "// calls: read write". Sources are
// program texts by name. Package test holds that a claimed call was really made.
func Proofs(sources map[string]string) map[string][]string {
	proofs := map[string][]string{}
	for program, text := range sources {
		for _, call := range claims(text) {
			proofs[call] = append(proofs[call], program)
		}
	}
	for _, programs := range proofs {
		slices.Sort(programs)
	}
	return proofs
}

// claims is the calls that the comment lines at the top of a program claim.
func claims(text string) (calls []string) {
	for line := range strings.Lines(text) {
		comment, ok := strings.CutPrefix(line, "// ")
		if !ok {
			break
		}
		if names, ok := strings.CutPrefix(comment, "calls: "); ok {
			calls = append(calls, strings.Fields(names)...)
		}
	}
	return calls
}
