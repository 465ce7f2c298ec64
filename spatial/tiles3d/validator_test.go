package tiles3d

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"cityhub/internal/testkit"
)

// validatorScript runs Khronos's validator on the GLBs below a folder.
const validatorScript = `
const fs = require('fs'), path = require('path');
const validator = require('gltf-validator');
const files = [];
(function walk(d) {
  for (const f of fs.readdirSync(d, { withFileTypes: true })) {
    const p = path.join(d, f.name);
    if (f.isDirectory()) walk(p); else if (p.endsWith('.glb')) files.push(p);
  }
})(process.argv[2]);
(async () => {
  const out = { files: files.length, errors: 0, warnings: 0, messages: [] };
  for (const f of files) {
    const r = await validator.validateBytes(new Uint8Array(fs.readFileSync(f)), { maxIssues: 50 });
    out.errors += r.issues.numErrors;
    out.warnings += r.issues.numWarnings;
    for (const m of r.issues.messages) if (m.severity < 2 && out.messages.length < 10) out.messages.push(f + ': ' + m.code + ' ' + m.message + ' ' + m.pointer);
  }
  console.log(JSON.stringify(out));
})();
`

// validate runs the glTF validator (npm package gltf-validator, found by
// NODE_PATH or below viewer/node_modules) on all contents.
func validate(t *testing.T, files map[string][]byte) {
	t.Helper()
	node := testkit.Require(t, "node")
	modules := os.Getenv("NODE_PATH")
	if modules == "" {
		modules = filepath.Join(testkit.RepoRoot(t), "viewer", "node_modules")
	}
	if _, err := os.Stat(filepath.Join(modules, "gltf-validator")); err != nil {
		t.Run("gltf-validator", func(t *testing.T) {
			testkit.Missing(t, "the npm package gltf-validator is not in "+modules+"; npm install it there, or set NODE_PATH")
		})
		return
	}
	dir := t.TempDir()
	writeFiles(t, dir, files)
	cmd := exec.CommandContext(t.Context(), node, "-e", validatorScript, "--", dir)
	cmd.Args = []string{node, "-e", "process.argv.splice(1, 0, 'script');" + validatorScript, dir}
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("gltf-validator: %v: %s", err, out)
	}
	var r struct {
		Files, Errors, Warnings int
		Messages                []string
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	contents := 0
	for name := range files {
		if contentName.MatchString(name) {
			contents++
		}
	}
	if r.Files != contents || r.Errors+r.Warnings > 0 {
		t.Errorf("gltf-validator: %d files of %d, %d errors, %d warnings: %q", r.Files, contents, r.Errors, r.Warnings, r.Messages)
	}
	t.Logf("gltf-validator: %d files, %d errors, %d warnings", r.Files, r.Errors, r.Warnings)
}
