// Package pebble is the time-series store inside the process: every reading is
// one key of a Pebble database, sorted by hour, datastream and time (see
// FORMAT.md).
//
// Guarantees: one Append is one synced write of rows, latest values and log
// position together, so that after a crash the position says exactly what is
// stored. A reading with a datastream and time that are already stored
// corrects the older one. Late readings need no special care. When space runs
// out Append refuses with CodeUnavailable before the disk is full, and waits
// for space when another program fills it all the same: nothing is lost, the
// process goes on.
//
// A Store is safe for concurrent use. Appends take their turns; reads see what
// was stored when they began and never wait for an append.
package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"cityhub/twin"
	"cityhub/twin/series"
)

var _ series.Store = (*Store)(nil)

// formatVersion is the version of keys and values that this program writes.
const formatVersion = 1

// pebbleFormat is the version of Pebble's own files: columnar blocks and MinLZ.
const pebbleFormat = pebble.FormatTableFormatV6

// Defaults and fixed limits. With the defaults the store takes up to about
// 256 MiB: the cache and four memtables.
const (
	defaultCacheBytes    = 128 << 20
	defaultMemTableBytes = 32 << 20
	defaultMinFreeBytes  = 256 << 20
	memTables            = 4 // memtables in memory before appending waits for a flush
)

// Options configure a Store. The zero value is a good start for a machine
// with 4 GB of memory.
type Options struct {
	// CacheBytes bounds the cache of uncompressed blocks. Zero means 128 MiB.
	CacheBytes int64
	// MemTableBytes is the size of one memtable; up to four are in memory, and
	// appending waits when all are full. Zero means 32 MiB.
	MemTableBytes int64
	// MinFreeBytes is the free space of the disk below which Append refuses
	// with CodeUnavailable. Zero means 256 MiB; a negative number means no limit.
	MinFreeBytes int64
	// SyncEvery is how often an Append waits for the disk; those between are
	// as atomic and in order, but a crash may take the last of them away,
	// together with their positions, so that the log gives them again. It must
	// be far below the time that the log keeps a record. Zero means every Append.
	SyncEvery time.Duration
	// Logger takes what the store has to say. Nil means nothing is logged.
	Logger *slog.Logger
	// Metrics is where the store's metrics are registered until Close. Nil
	// means none.
	Metrics prometheus.Registerer

	fs vfs.FS // for tests; nil means the disk
}

func (o Options) withDefaults() (Options, error) {
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = defaultMemTableBytes
	}
	if o.MinFreeBytes == 0 {
		o.MinFreeBytes = defaultMinFreeBytes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.fs == nil {
		o.fs = vfs.Default
	}
	switch {
	case o.CacheBytes < 0:
		return o, &twin.Error{Code: twin.CodeInvalid, Op: "open series store", Field: "CacheBytes", Message: "a negative size", Hint: "give bytes, or 0 for the default"}
	case o.MemTableBytes < 1<<20 || o.MemTableBytes > 1<<30:
		return o, &twin.Error{Code: twin.CodeInvalid, Op: "open series store", Field: "MemTableBytes", Message: fmt.Sprintf("%d bytes", o.MemTableBytes), Hint: "give 1 MiB to 1 GiB, or 0 for the default"}
	}
	return o, nil
}

// Store is a series.Store in a directory of its own.
type Store struct {
	dir     string
	lock    *pebble.Lock
	db      *pebble.DB
	disk    *patientFS
	logger  *slog.Logger
	minFree int64
	metrics *metrics
	fail    *failure

	compactions *scheduler

	// calls counts the calls that run; no call begins once closed is set.
	callsMu  sync.Mutex
	calls    sync.WaitGroup
	closed   bool
	closeErr error
	closeFin chan struct{}

	appendMu  sync.Mutex // guards appending, and what follows
	appending appender
	position  twin.Position
	syncEvery time.Duration
	synced    time.Time // when an Append last waited for the disk
	// abandoned says that an append ended inside Pebble with its locks held:
	// the database can no longer be closed, only left.
	abandoned bool

	dropCalls     sync.Mutex   // one DropBefore at a time; taken before appendMu
	dropMu        sync.Mutex   // held while DropBefore removes index keys; taken after appendMu
	droppedBefore atomic.Int32 // the hour before which rows were dropped since Open
}

// Open opens the store in dir and creates it when there is none. Errors are
// *twin.Error: CodeConflict when the store is in use or of a newer format,
// CodeCorrupt when it cannot be read.
func Open(dir string, o Options) (*Store, error) {
	s, err := open(dir, o)
	if err != nil {
		return nil, err
	}
	s.compactions.start()
	return s, nil
}

// open opens the store without compactions.
func open(dir string, o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{
		dir:     dir,
		logger:  o.Logger,
		minFree: o.MinFreeBytes,

		syncEvery: o.SyncEvery,
		fail:      &failure{logger: o.Logger},
		closeFin:  make(chan struct{}),
	}
	s.disk = &patientFS{FS: o.fs, logger: o.Logger, fail: s.fail}
	s.metrics = newMetrics(s)
	s.droppedBefore.Store(minHour)
	if err = o.fs.MkdirAll(dir, 0o750); err != nil {
		return nil, &twin.Error{Code: twin.CodeUnavailable, Op: "open series store", Message: "cannot make " + dir, Err: err}
	}
	if s.lock, err = pebble.LockDirectory(dir, o.fs); err != nil {
		return nil, &twin.Error{Code: twin.CodeConflict, Op: "open series store", Message: dir + " is in use", Hint: "stop the other hub that uses this directory", Err: err}
	}
	if s.db, err = openDB(dir, o, s); err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	if err = s.load(); err == nil && o.Metrics != nil {
		if err = s.metrics.register(o.Metrics); err != nil {
			err = &twin.Error{Code: twin.CodeInternal, Op: "open series store", Message: "cannot register the metrics", Err: err}
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.db.Close(), s.lock.Close())
	}
	return s, nil
}

func openDB(dir string, o Options, s *Store) (*pebble.DB, error) {
	po := &pebble.Options{
		FS:                          s.disk,
		Lock:                        s.lock,
		FormatMajorVersion:          pebbleFormat,
		Merger:                      NewMerger(),
		CacheSize:                   o.CacheBytes,
		MemTableSize:                uint64(o.MemTableBytes),
		MemTableStopWritesThreshold: memTables,
		// All rows of the running hour fall into one key range, so that tables
		// of level 0 overlap until they are compacted: let several gather and
		// merge them at once rather than rewrite the hour for each.
		L0CompactionThreshold: 8,
		L0StopWritesThreshold: 48,
		LBaseMaxBytes:         256 << 20,
		BytesPerSync:          1 << 20,
		WALBytesPerSync:       1 << 20,
		Logger:                &logger{s.logger, s.fail},
		EventListener:         s.listener(),
		// Half the cores for compaction: the other half is for ingest.
		CompactionConcurrencyRange: func() (int, int) { return 1, max(1, runtime.GOMAXPROCS(0)/2) },
	}
	s.compactions = newScheduler()
	po.Experimental.CompactionScheduler = s.compactions
	po.TargetFileSizes[0] = 8 << 20
	for i := range po.Levels {
		po.Levels[i].BlockSize = 32 << 10
		po.Levels[i].IndexBlockSize = 256 << 10
	}
	po.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionBalanced })
	db, err := pebble.Open(dir, po)
	if err == nil {
		return db, nil
	}
	s.compactions.Unregister()
	switch {
	case pebble.IsCorruptionError(err):
		e := corrupt("open series store", dir+" cannot be read").(*twin.Error)
		e.Err = err
		return nil, e
	}
	return nil, &twin.Error{Code: twin.CodeUnavailable, Op: "open series store", Message: "cannot open " + dir, Err: err}
}

// load checks the format and reads the position.
func (s *Store) load() error {
	v, ok, err := s.get(keyFormat)
	if err != nil {
		return err
	}
	if !ok {
		return s.create()
	}
	version, n := binary.Uvarint(v)
	switch {
	case n <= 0 || version == 0:
		return corrupt("open series store", fmt.Sprintf("%s: format %x is no version", s.dir, v))
	case version > formatVersion:
		return &twin.Error{Code: twin.CodeConflict, Op: "open series store",
			Message: fmt.Sprintf("%s has format version %d, this program reads up to %d", s.dir, version, formatVersion),
			Hint:    "start the version of cityhub that wrote it, or a newer one"}
	}
	if v, ok, err = s.get(keyPosition); err != nil || !ok {
		return err
	}
	s.position, err = decodePosition(v)
	return err
}

// create marks an empty database as a store of this format.
func (s *Store) create() error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return storeError("open series store", err)
	}
	empty := !it.First()
	if err = it.Close(); err != nil {
		return storeError("open series store", err)
	}
	if !empty {
		return corrupt("open series store", s.dir+" holds keys but no format version")
	}
	if err = s.db.Set(keyFormat, binary.AppendUvarint(nil, formatVersion), pebble.Sync); err != nil {
		return storeError("open series store", err)
	}
	return s.fail.err("open series store")
}

// get copies the value of key.
func (s *Store) get(key []byte) ([]byte, bool, error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, storeError("read series store", err)
	}
	v = append([]byte(nil), v...)
	return v, true, closer.Close()
}

// begin counts a call in; the caller must call s.calls.Done.
func (s *Store) begin(op string) error {
	s.callsMu.Lock()
	defer s.callsMu.Unlock()
	if s.closed {
		return &twin.Error{Code: twin.CodeUnavailable, Op: op, Message: "the series store is closed"}
	}
	s.calls.Add(1)
	return nil
}

// Position is the log position of the last Append; zero for a new store.
func (s *Store) Position(ctx context.Context) (twin.Position, error) {
	const op = "read position"
	if err := s.begin(op); err != nil {
		return twin.Position{}, err
	}
	defer s.calls.Done()
	if err := ctx.Err(); err != nil {
		return twin.Position{}, err
	}
	v, ok, err := s.get(keyPosition)
	if err != nil || !ok {
		return twin.Position{}, err
	}
	return decodePosition(v)
}

// Healthy is nil while the store can take readings; else it says why it
// cannot: too little space, a failing disk, or closed.
func (s *Store) Healthy() error {
	const op = "check series store"
	if err := s.begin(op); err != nil {
		return err
	}
	defer s.calls.Done()
	if err := s.fail.err(op); err != nil {
		return err
	}
	if s.disk.waiting.Load() > 0 {
		return diskFull(op, "writing waits for space")
	}
	if err := s.fail.backgroundErr(op); err != nil {
		return err
	}
	return s.checkSpace(op)
}

// checkSpace refuses when less than the configured space is free.
func (s *Store) checkSpace(op string) error {
	if s.minFree < 0 {
		return nil
	}
	u, err := s.disk.GetDiskUsage(s.dir)
	if errors.Is(err, vfs.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return storeError(op, err)
	}
	if u.AvailBytes < uint64(s.minFree) {
		return diskFull(op, fmt.Sprintf("%d MiB free on the disk of the series store, %d MiB are needed", u.AvailBytes>>20, s.minFree>>20))
	}
	return nil
}

func diskFull(op, msg string) error {
	return &twin.Error{Code: twin.CodeUnavailable, Op: op, Message: "disk full: " + msg, Hint: "free space on the disk, or keep readings for a shorter time; nothing is lost, appending goes on by itself"}
}

// Close waits for running calls, flushes, so that the next Open has nothing to
// replay, and releases the store. It may be called more than once, but not
// from a callback. When a write waits for space on a full disk, Close does not
// wait with it: it leaves the database as after a crash, which loses nothing,
// and the directory stays locked until the process ends.
func (s *Store) Close() error {
	s.callsMu.Lock()
	if s.closed {
		s.callsMu.Unlock()
		<-s.closeFin
		return s.closeErr
	}
	s.closed = true
	s.callsMu.Unlock()
	defer close(s.closeFin)
	s.metrics.unregister()

	idle := make(chan struct{})
	go func() { // ends with the last call
		s.calls.Wait()
		close(idle)
	}()
	tick := time.NewTicker(spaceRetry / 4)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-idle:
			running = false
		case <-tick.C:
		}
		if s.disk.waiting.Load() > 0 {
			s.closeErr = diskFull("close series store", "left without closing it, as after a crash")
			return s.closeErr
		}
	}
	if s.abandoned {
		s.closeErr = s.fail.err("close series store")
		return s.closeErr
	}
	s.flush(tick.C)
	s.disk.closing.Store(true)
	if err := errors.Join(s.db.Close(), s.lock.Close()); err != nil {
		s.closeErr = storeError("close series store", err)
	}
	return s.closeErr
}

// flush writes the memtables to tables, so that the next Open has nothing to
// replay. It is a courtesy: everything is in the log of the store already, and
// a disk that has trouble is not worth waiting for.
func (s *Store) flush(tick <-chan time.Time) {
	if s.fail.fatal.Load() != nil || s.fail.background.Load() != nil {
		return
	}
	flushed, err := s.db.AsyncFlush()
	if err != nil {
		s.logger.Warn("series store: not flushed before closing", "error", err)
		return
	}
	for {
		select {
		case <-flushed:
			return
		case <-tick:
			if s.fail.fatal.Load() != nil || s.fail.background.Load() != nil || s.disk.waiting.Load() > 0 {
				return
			}
		}
	}
}

func storeError(op string, err error) error {
	var e *twin.Error
	if errors.As(err, &e) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if pebble.IsCorruptionError(err) {
		e := corrupt(op, "stored bytes fail their check").(*twin.Error)
		e.Err = err
		return e
	}
	return &twin.Error{Code: twin.CodeUnavailable, Op: op, Message: "the series store failed", Err: err}
}
