package tiles3d

import (
	"context"
	"fmt"
	"path"
	"sync"

	"golang.org/x/sync/errgroup"

	"cityhub/spatial/city"
)

// Stats are what Build made.
type Stats struct {
	Objects  int // in the tiles without children: every object once
	Tiles    int
	Levels   int
	Subtrees int
	Bytes    int64 // of all files
	Problems Problems
}

// Build makes a whole tileset: put gets every file with its name relative to
// the folder of tileset.json, one after the other. It uses Options.Builds
// goroutines, which have ended when it returns. The error is city's, the
// store's or put's.
func (t *Tilesets) Build(ctx context.Context, view *city.View, collection string, put func(name string, content []byte) error) (Stats, error) {
	var s Stats
	col, ok := city.CollectionOf(collection)
	if !ok {
		return s, notFound("there is no collection %q", collection)
	}
	l, err := t.layout(ctx, view, col)
	if err != nil {
		return s, err
	}
	var mu sync.Mutex
	file := func(name string, b []byte) error {
		mu.Lock()
		defer mu.Unlock()
		s.Bytes += int64(len(b))
		return put(name, b)
	}
	b, err := l.tilesetJSON()
	if err == nil {
		err = file("tileset.json", b)
	}
	if err != nil {
		return s, err
	}
	if len(l.tiles) > 0 {
		s.Levels = l.depth + 1
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(cap(t.builds))
	for i := range l.tiles {
		x := &l.tiles[i]
		if ctx.Err() != nil {
			break
		}
		root, address := l.address(x.cell)
		if (x.cell.level-root.level)%subtreeLevels == 0 {
			b, err := l.subtree(x.cell)
			if err == nil {
				err = file(path.Join(root.String(), "subtrees", address+".subtree"), b)
			}
			if err != nil {
				return s, err
			}
			s.Subtrees++
		}
		g.Go(func() error {
			b, _, c, err := t.glb(ctx, view, col, l, x)
			if err != nil {
				return err
			}
			mu.Lock()
			s.Tiles++
			if x.leaf {
				s.Objects += len(c.features)
			}
			s.Problems.add(c.problems)
			mu.Unlock()
			return file(path.Join(root.String(), "content", address+".glb"), b)
		})
	}
	return s, g.Wait()
}

// address is the implicit root above a cell, and the cell's place below it.
func (l *layout) address(c cell) (root cell, address string) {
	n := c.level - l.tiles[l.roots[0]].cell.level
	root = c.up(n)
	return root, fmt.Sprintf("%d/%d/%d", n, c.x-root.x<<n, c.y-root.y<<n)
}
