package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRotate: of five images the last three stay, the newest by its own name.
func TestRotate(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "image")
	for _, content := range []string{"1", "2", "3", "4", "5"} {
		if err := os.WriteFile(name+".next", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := rotate(name+".next", name, 3); err != nil {
			t.Fatal(err)
		}
	}
	files, _ := filepath.Glob(name + "*")
	var got []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, filepath.Base(f)+"="+string(b))
	}
	if s := strings.Join(got, " "); s != "image=5 image.1=4 image.2=3" {
		t.Errorf("kept %s", s)
	}
}
