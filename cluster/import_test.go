package cluster_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// pure are the packages that package cluster may import.
var pure = map[string]bool{
	"bytes": true, "cmp": true, "encoding/json": true, "errors": true, "fmt": true,
	"iter": true, "maps": true, "math": true, "math/bits": true, "slices": true,
	"sort": true, "strconv": true, "strings": true, "time": true,
}

// values are the names of impure packages that are pure themselves.
var values = map[string]map[string]bool{
	"fmt": {"Sprintf": true, "Sprint": true, "Sprintln": true, "Errorf": true, "Stringer": true},
}

// clocks are the names of package time that read a clock or wait.
var clocks = map[string]bool{
	"Now": true, "Since": true, "Until": true, "After": true, "AfterFunc": true, "Sleep": true,
	"Tick": true, "NewTimer": true, "NewTicker": true, "LoadLocation": true, "Local": true,
}

func TestPackageIsPure(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		read++
		for _, fault := range impurities(file) {
			t.Errorf("%s: %s", name, fault)
		}
	}
	if read == 0 {
		t.Fatal("no source of package cluster here")
	}
}

// TestImpuritiesAreFound keeps the test above able to fail.
func TestImpuritiesAreFound(t *testing.T) {
	const source = `package p
import ("os"; "net"; clock "time"; "fmt"; . "strings"; "sync")
var _ = clock.Now
var _ = net.Dial
func f() { fmt.Println(); go f() }`
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := strings.Join(impurities(file), "; ")
	for _, want := range []string{"os", "sync", "time.Now", "net", "fmt.Println", "a goroutine", "strings by a dot"} {
		if !strings.Contains(found, want) {
			t.Errorf("%s was not found, only %s", want, found)
		}
	}
}

// impurities says what in a file does, or could do, more than compute.
func impurities(file *ast.File) []string {
	var faults []string
	imported := map[string]string{} // by name in this file
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil || !pure[path] {
			faults = append(faults, "imports "+spec.Path.Value)
			continue
		}
		name := path[strings.LastIndexByte(path, '/')+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if name == "." {
			faults = append(faults, "imports "+path+" by a dot")
		}
		imported[name] = path
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			faults = append(faults, "starts a goroutine")
		case *ast.SelectorExpr:
			if fault := impureName(imported, n); fault != "" {
				faults = append(faults, "uses "+fault)
			}
		}
		return true
	})
	return faults
}

func impureName(imported map[string]string, n *ast.SelectorExpr) string {
	x, ok := n.X.(*ast.Ident)
	if !ok {
		return ""
	}
	path, name := imported[x.Name], n.Sel.Name
	if allowed, ok := values[path]; ok && !allowed[name] {
		return path + "." + name
	}
	if path == "time" && clocks[name] {
		return path + "." + name
	}
	return ""
}
