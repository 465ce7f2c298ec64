package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"cityhub/internal/testkit"
)

// The page in a real browser against the real hub with its sample: the tests
// are the viewer's own (viewer/e2e), which also run against their fixture.
func TestViewerInChromium(t *testing.T) {
	testkit.Require(t, "chromium")
	npm := testkit.Require(t, "npm")
	root := testkit.RepoRoot(t)
	if _, err := os.Stat(filepath.Join(root, "viewer/node_modules/playwright-core")); err != nil {
		testkit.Missing(t, "the viewer's packages are not installed: make build")
	}
	h := testkit.StartHub(t, testkit.HubOptions{Args: []string{"--sample"}})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "--prefix", filepath.Join(root, "viewer"), "run", "e2e")
	cmd.Env = append(os.Environ(), "BASE_URL="+h.HTTP, "NO_COLOR=1")
	if dir := os.Getenv("CITYHUB_TEST_ARTIFACTS"); dir != "" {
		cmd.Env = append(cmd.Env, "SHOTS="+filepath.Join(dir, "viewer"))
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
