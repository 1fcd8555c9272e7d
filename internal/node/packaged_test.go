package node

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"
)

// TestPackagedConfig: the file that packages install says nothing, names every
// setting, and is right when all of it is made to count.
func TestPackagedConfig(t *testing.T) {
	const packaged = "../../packaging/node.toml"
	if c, err := LoadConfig(packaged); err != nil || !reflect.DeepEqual(c, Config{}) {
		t.Errorf("as it is installed: %+v, %v", c, err)
	}
	text, err := os.ReadFile(packaged)
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`(?m)^# (\w+ = )`).ReplaceAll(text, []byte("$1"))
	file := filepath.Join(t.TempDir(), "node.toml")
	if err := os.WriteFile(file, all, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := LoadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		key := v.Type().Field(i).Tag.Get("toml")
		set := regexp.MustCompile(`(?m)^` + key + ` = `).Match(all)
		if key != "-" && !set {
			t.Errorf("%s does not name %s", packaged, key)
		}
	}
}
