package tiles3d

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestReal(t *testing.T) {
	for _, c := range realFiles {
		t.Run(c.name, func(t *testing.T) {
			s := openStore(t)
			realFile(t, s, c.folder, c.file, c.name)
			view := viewOf(t, s, "all", 1)
			x := newTilesets(t, Options{})
			begin := time.Now()
			files, stats := buildAll(t, x, view, "buildings")
			t.Logf("%v: %+v of %d, depth %d", time.Since(begin), stats, view.Index.Len(), stats.Levels)
			if dir := os.Getenv("T3D_OUT"); dir != "" {
				writeFiles(t, filepath.Join(dir, c.name), files)
			}
		})
	}
}
