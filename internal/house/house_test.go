package house

import (
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// ours lists the packages of this module, those with nothing but tests too.
// It reads the files itself, where go list would hide them from the test
// cache.
func ours(t *testing.T) []pkg {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	err = filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		name := d.Name()
		if dir != root && (name == "testdata" || name == "bin" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
			return filepath.SkipDir
		}
		b, err := build.ImportDir(dir, 0)
		var none *build.NoGoError
		if errors.As(err, &none) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, dir)
		all = append(all, pkg{path.Join(module, filepath.ToSlash(rel)), b.Name, dir, b.GoFiles, b.Imports})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 5 {
		t.Fatalf("found only %d packages under %s", len(all), root)
	}
	return all
}

func TestImports(t *testing.T) {
	for _, v := range violations(ours(t)) {
		t.Error(v)
	}
}

func TestImportsOfFakes(t *testing.T) {
	in := func(room string, imports ...string) pkg {
		return pkg{ImportPath: "popcorn/internal/" + room, Name: room, Imports: imports}
	}
	for name, c := range map[string]struct {
		p    pkg
		want string // part of the one violation; empty for none
	}{
		"down":                  {in("job", "popcorn/internal/guest", "popcorn/internal/sys", "os", "github.com/x/y"), ""},
		"within a room":         {in("vm", "popcorn/internal/vm/sub"), ""},
		"pure on pure":          {in("coherence", "popcorn/internal/vm", "fmt", "encoding/binary"), ""},
		"a tool":                {pkg{ImportPath: "popcorn/internal/guest/gen", Name: "main", Imports: []string{"syscall"}}, ""},
		"the command":           {pkg{ImportPath: "popcorn/cmd/popcorn", Name: "main", Imports: []string{"popcorn/internal/cli"}}, ""},
		"a help of tests":       {pkg{ImportPath: "popcorn/test/lab", Name: "lab", Imports: []string{"syscall", "popcorn/internal/sys"}}, ""},
		"tests in the product":  {in("cli", "popcorn/test/lab"), "test does not stand below cli"},
		"sys on the kernel":     {in("sys", "syscall", "golang.org/x/sys/unix"), ""},
		"up":                    {in("guest", "popcorn/internal/job"), "job does not stand below guest"},
		"sideways":              {in("wire", "popcorn/internal/control"), "control does not stand below wire"},
		"the kernel elsewhere":  {in("guest", "golang.org/x/sys/unix"), "only sys"},
		"syscall elsewhere":     {in("cli", "syscall"), "only sys"},
		"kernel from a command": {pkg{ImportPath: "popcorn/cmd/popcorn", Name: "main", Imports: []string{"syscall"}}, "only sys"},
		"pure on sys":           {in("vm", "popcorn/internal/sys"), "vm is pure"},
		"pure on os":            {in("coherence", "os"), "coherence is pure"},
		"pure on sync":          {in("coherence", "sync"), "coherence is pure"},
		"pure on a module":      {in("syscalls", "github.com/x/y"), "syscalls is pure"},
		"a new room":            {in("attic"), "stands on no floor"},
	} {
		t.Run(name, func(t *testing.T) {
			got := violations([]pkg{c.p})
			switch {
			case c.want == "" && len(got) > 0:
				t.Errorf("refused: %q", got)
			case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)):
				t.Errorf("violations %q, want one with %q", got, c.want)
			}
		})
	}
}

// impurities returns what a file of a pure room may not contain: goroutines,
// channels and the clock.
func impurities(fset *token.FileSet, f *ast.File) []string {
	var out []string
	note := func(n ast.Node, what string) {
		out = append(out, fmt.Sprintf("%s: %s", fset.Position(n.Pos()), what))
	}
	clock := []string{"Now", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Since", "Until"}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			note(n, "starts a goroutine")
		case *ast.ChanType:
			note(n, "uses a channel")
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clock, n.Sel.Name) {
				note(n, "reads the clock")
			}
		}
		return true
	})
	return out
}

func TestPureRoomsArePure(t *testing.T) {
	for _, p := range ours(t) {
		if !slices.Contains(pure, room(p.ImportPath)) || isTool(p) {
			continue
		}
		for _, name := range p.GoFiles {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range impurities(fset, f) {
				t.Error(v)
			}
		}
	}
}

func TestImpuritiesAreSeen(t *testing.T) {
	for _, c := range []struct {
		body string
		want int
	}{
		{"var d time.Duration = 3 * time.Second", 0},
		{"time.Now()", 1},
		{"go func() {}()", 1},
		{"var c chan int", 1},
	} {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, "x.go", "package x\nfunc f() {\n"+c.body+"\n}", 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := impurities(fset, f); len(got) != c.want {
			t.Errorf("%s: %q, want %d", c.body, got, c.want)
		}
	}
}

// Every package says what it is and what it is not.
func TestEveryPackageHasADoc(t *testing.T) {
	for _, p := range ours(t) {
		if p.Name != "main" && len(p.GoFiles) > 0 && !slices.Contains(p.GoFiles, "doc.go") {
			t.Errorf("%s has no doc.go", p.ImportPath)
		}
	}
}
