package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"popcorn/test/lab"
)

// docCommand is a line of docs/cluster.md: what to type on which host.
type docCommand struct{ host, command string }

// docCommands is the commands of a section.
func docCommands(t *testing.T, section string) (list []docCommand) {
	t.Helper()
	_, text, found := strings.Cut(string(must(os.ReadFile(filepath.Join(repo, "docs/cluster.md")))), "\n## "+section+"\n")
	if !found {
		t.Fatalf("docs/cluster.md has no section %s", section)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	for _, m := range regexp.MustCompile(`(?m)^    (\w+)# (.*?)(?: +#.*)?$`).FindAllStringSubmatch(text, -1) {
		list = append(list, docCommand{m[1], m[2]})
	}
	return list
}

// TestNewUser does on three fresh hosts what docs/cluster.md says, word for word, with the
// addresses of the hosts for their names and what node token prints for the token: they
// are a cluster then, and a program is spread over it, by no more than ten commands.
func TestNewUser(t *testing.T) {
	began := time.Now()
	c := &cluster{t: t, lab: lab.New(t, 3, lab.Origin(), lab.File("/usr/bin/popcorn", popcornBin)), patience: clusterPatience,
		binary: "/usr/bin/popcorn", daemons: map[string]*lab.Program{}}
	hosts := map[string]*lab.Host{"first": c.lab.Hosts()[0], "second": c.lab.Hosts()[1], "third": c.lab.Hosts()[2]}
	addresses := strings.NewReplacer("first", hosts["first"].Addr.String(), "second", "b", "third", "c")
	typed, token := 0, ""
	do := func(host, command string) {
		t.Helper()
		typed++
		command = addresses.Replace(command)
		if token != "" {
			command = strings.ReplaceAll(command, "popcorn1...", token)
		}
		h := hosts[host]
		if echo := regexp.MustCompile(`^echo '(.*)' > (\S+)$`).FindStringSubmatch(command); echo != nil {
			h.WriteFile(echo[2], []byte(echo[1]+"\n"), 0o644)
			return
		}
		if argv := strings.Fields(command); strings.HasSuffix(command, "node serve") || strings.Contains(command, "--serve") {
			c.serve(h, argv[1:]...)
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), clusterPatience)
		defer cancel()
		argv := append([]string{"/usr/bin/popcorn"}, strings.Fields(command)[1:]...) // the others have no shell
		if host == "first" {
			argv = []string{"/bin/sh", "-c", command}
		}
		out, err := h.Command(ctx, argv...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s# %s: %v\n%s", host, command, err, out)
		}
		if found := regexp.MustCompile(`popcorn1\S+`).Find(out); found != nil {
			token = string(found)
		}
		t.Logf("%s# %s\n%s", host, command, out)
	}
	commands := docCommands(t, "Five commands")
	if len(commands) < 4 {
		t.Fatalf("docs/cluster.md has the commands %v", commands)
	}
	for _, command := range commands {
		do(command.host, command.command)
	}
	for _, command := range commands { // and the third, as the second
		if strings.HasSuffix(command.command, "node token") || command.host == "second" && !strings.HasSuffix(command.command, "node ls") {
			do(strings.Replace(command.host, "second", "third", 1), command.command)
		}
	}
	input := c.put(writeFile(t, "input", mixedData(4<<20)))
	do("first", fmt.Sprintf("popcorn run -H second,third --spread --stats /tmp/stats -- xz -T3 --block-size=512KiB -k %s && xz -t %s.xz", input, input))
	stats := must(hosts["first"].ReadFile("/tmp/stats"))
	everyNodeWorked(t, stats, 3)
	if took := time.Since(began); typed > 10 || took > 5*time.Minute {
		t.Errorf("it took %d commands and %v", typed, took)
	}
	for _, h := range hosts {
		c.onlyDaemons(h)
	}
}
