package tiles3d

import (
	"bytes"
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/singleflight"

	"cityhub/spatial/city"
	"cityhub/spatial/store"
)

// formatVersion is part of every content's ETag: raise it when the same objects
// are drawn differently.
const formatVersion = 1

// maxLayoutItems bounds the objects in all layouts that are kept, 40 bytes each;
// the one asked for last is kept always.
const maxLayoutItems = 8 << 20

// stampAge is how long it is trusted that a tile's objects are as they were
// when the index has not changed either: the store may be ahead of the index.
const stampAge = 2 * time.Second

// Tilesets serves the tilesets over HTTP and builds them. See the package
// comment.
type Tilesets struct {
	opt     Options
	salt    []byte // what of the options is in the contents
	builds  chan struct{}
	flights singleflight.Group

	mu       sync.Mutex
	layouts  map[layoutKey]*list.Element  // of *keptLayout
	layoutsL *list.List                   // the one asked for last in front
	objects  int                          // in all layouts
	contents map[contentKey]*list.Element // of *built
	contentL *list.List
	bytes    int64
	problems Problems
}

type layoutKey struct{ view, collection string }

type keptLayout struct {
	key layoutKey
	l   *layout
}

type contentKey struct {
	layoutKey
	cell cell
}

// built is a content that is kept: compressed, as nearly all clients want it.
type built struct {
	key  contentKey
	etag string // without quotation marks
	gz   []byte
	size int // of the GLB
}

// stamp is the ETag that a tile had at a time.
type stamp struct {
	etag string
	at   time.Time
}

// New prepares the tilesets.
func New(o Options) (*Tilesets, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if o.Builds <= 0 {
		o.Builds = runtime.GOMAXPROCS(0)
	}
	return &Tilesets{
		opt: o, builds: make(chan struct{}, o.Builds),
		salt:    fmt.Appendf(nil, "%d %v %v %v %v", formatVersion, o.GroundMetres, o.EllipsoidOffsetMetres, o.BuildingMetres, o.DepthMetres),
		layouts: map[layoutKey]*list.Element{}, layoutsL: list.New(),
		contents: map[contentKey]*list.Element{}, contentL: list.New(),
	}, nil
}

// Problems counts what could not be drawn as it is stored, in all contents that
// were built since New.
func (t *Tilesets) Problems() Problems {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.problems
}

// layout is that of a collection now.
func (t *Tilesets) layout(ctx context.Context, view *city.View, col city.Collection) (*layout, error) {
	key := layoutKey{view.Key, col.ID}
	version := view.Index.Version()
	t.mu.Lock()
	if e := t.layouts[key]; e != nil {
		if k := e.Value.(*keptLayout); k.l.version == version {
			t.layoutsL.MoveToFront(e)
			t.mu.Unlock()
			return k.l, nil
		}
	}
	t.mu.Unlock()
	v, err, _ := t.flights.Do(fmt.Sprintf("layout %q %q %d", key.view, key.collection, version), func() (any, error) {
		// The caller may go; others wait for the same.
		return t.newLayout(context.WithoutCancel(ctx), view, col)
	})
	if err != nil {
		return nil, err
	}
	l := v.(*layout)
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.layouts[key]; e != nil {
		t.dropLayout(e)
	}
	t.layouts[key] = t.layoutsL.PushFront(&keptLayout{key, l})
	t.objects += len(l.items)
	for t.objects > maxLayoutItems && t.layoutsL.Len() > 1 {
		t.dropLayout(t.layoutsL.Back())
	}
	return l, nil
}

func (t *Tilesets) dropLayout(e *list.Element) {
	k := t.layoutsL.Remove(e).(*keptLayout)
	delete(t.layouts, k.key)
	t.objects -= len(k.l.items)
}

// hash is the ETag of a content: that of the versions of its objects.
type hash struct{ sum []byte }

func (t *Tilesets) newHash(col city.Collection, x *tile) hash {
	return hash{fmt.Appendf(nil, "%s %s %v %v ", t.salt, col.ID, x.cell, x.leaf)}
}

func (h *hash) add(v *store.Version) {
	h.sum = binary.LittleEndian.AppendUint64(h.sum, uint64(v.Position))
	h.sum = binary.LittleEndian.AppendUint64(h.sum, uint64(v.ValidFrom.UnixNano()))
	// A city made anew may have the same positions.
	h.sum = append(append(h.sum, v.Dataset...), v.Object.ID...)
}

func (h *hash) etag() string {
	sum := sha256.Sum256(h.sum)
	return hex.EncodeToString(sum[:16])
}

// etag is the ETag of a tile's content by what is in the store.
func (t *Tilesets) etag(ctx context.Context, view *city.View, col city.Collection, l *layout, x *tile) (string, error) {
	if s, ok := l.stamps.Load(x.cell); ok {
		if s := s.(stamp); t.opt.Clock().Sub(s.at) < stampAge {
			return s.etag, nil
		}
	}
	now := t.opt.Clock()
	h := t.newHash(col, x)
	err := eachVersion(ctx, view.Store, store.Query{Class: col.Class, Positions: l.positions(x)}, func(v *store.Version) error {
		h.add(v)
		return nil
	})
	if err != nil {
		return "", err
	}
	etag := h.etag()
	l.stamps.Store(x.cell, stamp{etag, now})
	return etag, nil
}

// glb builds the content of a tile, and its ETag by the versions that are in it.
func (t *Tilesets) glb(ctx context.Context, view *city.View, col city.Collection, l *layout, x *tile) (b []byte, etag string, c *content, err error) {
	c = newContent(&t.opt, x.cell, x.leaf)
	h := t.newHash(col, x)
	q := store.Query{Class: col.Class, Positions: l.positions(x), Geometries: true}
	err = eachVersion(ctx, view.Store, q, func(v *store.Version) error {
		h.add(v)
		c.add(v)
		return ctx.Err()
	})
	if err != nil {
		return nil, "", nil, err
	}
	b, err = c.glb()
	return b, h.etag(), c, err
}

// cached is the content of a tile that is kept, or nil.
func (t *Tilesets) cached(key contentKey) *built {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.contents[key]
	if e == nil {
		return nil
	}
	t.contentL.MoveToFront(e)
	return e.Value.(*built)
}

// content is the content of a tile, built where it is not kept or has changed.
// Where its ETag is one that the client has, and known, only that is given.
func (t *Tilesets) content(ctx context.Context, view *city.View, col city.Collection, l *layout, x *tile, has func(etag string) bool) (*built, error) {
	key := contentKey{layoutKey{view.Key, col.ID}, x.cell}
	kept := t.cached(key)
	if kept != nil || has != nil {
		etag, err := t.etag(ctx, view, col, l, x)
		if err != nil {
			return nil, err
		}
		if kept != nil && kept.etag == etag {
			return kept, nil
		}
		if has != nil && has(etag) {
			return &built{key: key, etag: etag}, nil
		}
	}
	v, err, _ := t.flights.Do(fmt.Sprintf("content %q %q %v %d", key.view, key.collection, x.cell, l.version), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		select {
		case t.builds <- struct{}{}:
			defer func() { <-t.builds }()
		case <-ctx.Done():
			return nil, &city.Error{Code: city.Unavailable, Message: "too many tiles are being built", Hint: "try again", Err: ctx.Err()}
		}
		return t.buildContent(ctx, view, col, l, x, key)
	})
	if err != nil {
		return nil, err
	}
	return v.(*built), nil
}

func (t *Tilesets) buildContent(ctx context.Context, view *city.View, col city.Collection, l *layout, x *tile, key contentKey) (*built, error) {
	begin, now := time.Now(), t.opt.Clock()
	b, etag, c, err := t.glb(ctx, view, col, l, x)
	if err != nil {
		return nil, err
	}
	var z bytes.Buffer
	w, err := gzip.NewWriterLevel(&z, gzip.BestSpeed)
	if err == nil {
		_, err = w.Write(b)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("tiles3d: compress: %w", err)
	}
	n := &built{key: key, etag: etag, gz: z.Bytes(), size: len(b)}
	l.stamps.Store(x.cell, stamp{etag, now})
	t.keep(n, c.problems)
	if p := c.problems; p.Polygons+p.Objects+p.Heights > 0 {
		t.opt.Logger.Warn("3D tile with objects that could not be drawn as they are stored", "collection", col.ID, "tile", x.cell.String(),
			"polygons", c.problems.Polygons, "objects", c.problems.Objects, "heights", c.problems.Heights)
	}
	t.opt.Logger.Debug("3D tile built", "collection", col.ID, "tile", x.cell.String(), "objects", len(c.features), "bytes", n.size, "took", time.Since(begin))
	return n, nil
}

// keep puts a content in front and drops those that were not asked for longest.
func (t *Tilesets) keep(n *built, p Problems) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.problems.add(p)
	if e := t.contents[n.key]; e != nil {
		t.dropContent(e)
	}
	if int64(len(n.gz)) > t.opt.CacheBytes {
		return
	}
	t.contents[n.key] = t.contentL.PushFront(n)
	t.bytes += int64(len(n.gz))
	for t.bytes > t.opt.CacheBytes {
		t.dropContent(t.contentL.Back())
	}
}

func (t *Tilesets) dropContent(e *list.Element) {
	b := t.contentL.Remove(e).(*built)
	delete(t.contents, b.key)
	t.bytes -= int64(len(b.gz))
}

// plain is the GLB.
func (b *built) plain() ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b.gz))
	if err != nil {
		return nil, err
	}
	p := make([]byte, b.size)
	if _, err := io.ReadFull(r, p); err != nil {
		return nil, err
	}
	return p, r.Close()
}
