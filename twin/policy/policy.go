// Package policy is the gate: the one place that decides what a caller may
// see. No handler reads a store by itself; it asks the Gate for a View of its
// caller and reads through that, so that REST, streams, tiles and files cannot
// differ in what they show (苏州市数据条例 第九条; R02, R28).
//
// The rule today: the public sees the Datasets that are open unconditionally
// (第十四条; R32, R36), the operator sees everything, a terminal sees what the
// public sees and its own Datastreams. A Datastream is seen with its Dataset; a
// Thing and its Location, a Sensor and an ObservedProperty with one of their
// Datastreams. What is not seen is answered exactly like what does not exist
// and is in no count.
//
// A Gate and its Views are safe for concurrent use. A View is cheap and may be
// kept: it follows the catalogue, so that a Dataset that is closed disappears
// from every View, also from one that serves a live stream, at the next
// question. The package starts no goroutine.
package policy

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"cityhub/spatial/city"
	"cityhub/spatial/store"
	"cityhub/twin"
	"cityhub/twin/registry"
	"cityhub/twin/series"
	"cityhub/twin/state"
)

// Live is the latest value of every Datastream; *state.State is one.
type Live interface {
	Latest(ds twin.DatastreamID) (twin.Observation, bool)
	// Each calls fn for every Datastream that has a value, in order of id.
	Each(fn func(twin.Observation) bool)
}

// Options of a Gate.
type Options struct {
	Registry *registry.Registry
	Series   series.Store
	State    Live
	// AnonymousRole is the role of a caller without a token; empty: RolePublic.
	// RoleAdmin is for tests only: it opens everything to everybody.
	AnonymousRole Role
	Logger        *slog.Logger // nil: no log

	// City, Index and Join are the city model, what of it is valid now, and what
	// is observed on it; all nil: the hub has none. Editor changes the model for
	// those who may.
	City   store.Reader
	Index  Indexer
	Join   *state.Join
	Editor city.Editor
}

// Gate makes Views. See the package comment.
type Gate struct {
	o       Options
	current atomic.Pointer[catalogue]
	refresh sync.Mutex // one refresh at a time

	properties propertyCache
	extents    extentCache
}

// catalogue is what the Datasets say about who sees what, at one version of
// the registry. It does not change.
type catalogue struct {
	version  uint64
	failed   bool // could not be read: nothing is open
	datasets map[twin.DatasetID]twin.Dataset
	all      []twin.Dataset   // in order of id
	codes    []string         // of the unconditionally open, ascending
	open     []twin.DatasetID // unconditionally open, ascending
	openBits []uint64         // the same by id
}

// refreshTimeout bounds how long a question waits for the registry when the
// catalogue has changed.
const refreshTimeout = 5 * time.Second

// New makes a Gate. CodeInvalid for an AnonymousRole that is not known.
func New(o Options) (*Gate, error) {
	switch o.AnonymousRole {
	case "":
		o.AnonymousRole = RolePublic
	case RolePublic, RoleAdmin:
	default:
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "open gate", Field: "anonymousRole", Message: "\"" + string(o.AnonymousRole) + "\" is not a role of anonymous callers", Hint: "public, or admin for tests"}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	g := &Gate{o: o}
	g.current.Store(&catalogue{failed: true}) // nothing is open before the first look
	return g, nil
}

// Anonymous is the Principal of a caller without a token.
func (g *Gate) Anonymous() Principal { return Principal{Role: g.o.AnonymousRole} }

// Verify gives the holder of an access token: CodeUnauthorized when the token
// is unknown, expired or revoked.
func (g *Gate) Verify(ctx context.Context, token string) (Principal, error) {
	t, err := g.o.Registry.VerifyToken(ctx, token)
	if err != nil {
		return Principal{}, err
	}
	p := Principal{Name: t.Name, Role: RolePublic, Expires: t.Expires}
	if t.Role == registry.RoleOperator {
		p.Role = RoleAdmin
	}
	return p, nil
}

// View gives what p may see. CodeUnavailable, or another error of the
// registry, when the catalogue cannot be read.
func (g *Gate) View(ctx context.Context, p Principal) (*View, error) {
	c := g.current.Load()
	if c.failed || c.version != g.o.Registry.DatasetVersion() {
		if _, err := g.reload(ctx); err != nil {
			return nil, err
		}
	}
	v := &View{g: g}
	switch p.Role {
	case RoleAdmin:
		v.all = true
	case RoleTerminal:
		v.terminal = p.Name
	}
	return v, nil
}

// reload reads the catalogue again, unless somebody else just has.
func (g *Gate) reload(ctx context.Context) (*catalogue, error) {
	g.refresh.Lock()
	defer g.refresh.Unlock()
	// The version is read before the Datasets: what is read is at least as new.
	version := g.o.Registry.DatasetVersion()
	if c := g.current.Load(); !c.failed && c.version == version {
		return c, nil
	}
	all, err := g.o.Registry.Datasets(ctx)
	if err != nil {
		return nil, err
	}
	c := &catalogue{version: version, all: all, datasets: make(map[twin.DatasetID]twin.Dataset, len(all))}
	for _, d := range all {
		c.datasets[d.ID] = d
		// 苏州市数据条例 第十四条: open to everybody is what is open without condition.
		if d.Open != twin.OpenUnconditional {
			continue
		}
		c.open = append(c.open, d.ID)
		c.codes = append(c.codes, d.Code)
		if need := int(d.ID>>6) + 1; need > len(c.openBits) {
			c.openBits = append(c.openBits, make([]uint64, need-len(c.openBits))...)
		}
		c.openBits[d.ID>>6] |= 1 << (d.ID & 63)
	}
	slices.Sort(c.open)
	slices.Sort(c.codes)
	g.current.Store(c)
	return c, nil
}

// catalogue is the current one. When the registry has changed it is read again
// first; when that fails nothing is open until it succeeds.
func (g *Gate) catalogue() *catalogue {
	c := g.current.Load()
	if c.version == g.o.Registry.DatasetVersion() && !c.failed {
		return c
	}
	return g.catalogueSlow()
}

func (g *Gate) catalogueSlow() *catalogue {
	ctx, cancel := context.WithTimeout(context.Background(), refreshTimeout)
	defer cancel()
	c, err := g.reload(ctx)
	if err != nil {
		g.o.Logger.Error("the catalogue cannot be read: the public sees nothing", "error", err)
		return &catalogue{failed: true}
	}
	return c
}

func (c *catalogue) isOpen(id twin.DatasetID) bool {
	w := uint64(id) >> 6
	return w < uint64(len(c.openBits)) && c.openBits[w]&(1<<(uint64(id)&63)) != 0
}

func notFound(op, what string) error {
	return &twin.Error{Code: twin.CodeNotFound, Op: op, Message: "there is no " + what}
}

// isNotFound reports whether err says that something does not exist.
func isNotFound(err error) bool {
	var te *twin.Error
	return errors.As(err, &te) && te.Code == twin.CodeNotFound
}
