package pebble

import (
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// samplePeriod is the time after which the scheduler looks again whether
// Pebble would like more compactions.
const samplePeriod = 200 * time.Millisecond

// scheduler grants compactions as many as Pebble asks for at once, but none
// before start. Pebble 2.1.7 begins to compact in the midst of Open and then
// waits for it when it looks for obsolete files: after a crash under load, Open
// took seconds. It is a pebble.CompactionScheduler for one database.
type scheduler struct {
	db   pebble.DBForCompaction
	poke chan struct{}
	quit chan struct{}
	done chan struct{} // closed when the granting goroutine has ended

	mu      sync.Mutex
	started bool
	ended   bool
	running int
}

var (
	_ pebble.CompactionScheduler   = (*scheduler)(nil)
	_ pebble.CompactionGrantHandle = (*scheduler)(nil)
)

func newScheduler() *scheduler {
	return &scheduler{poke: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
}

// start lets compactions begin.
func (s *scheduler) start() {
	s.mu.Lock()
	s.started = true
	s.mu.Unlock()
	s.UpdateGetAllowedWithoutPermission()
}

// Register is called by Pebble during Open.
func (s *scheduler) Register(_ int, db pebble.DBForCompaction) {
	s.db = db
	go s.run()
}

// Unregister is called by Pebble during Close, and by openDB when Open failed.
func (s *scheduler) Unregister() {
	s.mu.Lock()
	ended := s.ended
	s.ended = true
	s.mu.Unlock()
	if ended || s.db == nil {
		return
	}
	close(s.quit)
	<-s.done
}

func (s *scheduler) run() {
	defer close(s.done)
	tick := time.NewTicker(samplePeriod)
	defer tick.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-s.poke:
		case <-tick.C:
		}
		s.grant()
	}
}

// take counts a compaction in when one more is allowed.
func (s *scheduler) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started || s.ended || s.running >= s.db.GetAllowedWithoutPermission() {
		return false
	}
	s.running++
	return true
}

func (s *scheduler) give() {
	s.mu.Lock()
	s.running--
	s.mu.Unlock()
}

// grant starts compactions that wait. Only run calls it, as Pebble may hold
// its own lock in the calls below.
func (s *scheduler) grant() {
	for s.take() {
		if waiting, _ := s.db.GetWaitingCompaction(); !waiting || !s.db.Schedule(s) {
			s.give()
			return
		}
	}
}

// TrySchedule is called by Pebble for a compaction that it has picked.
func (s *scheduler) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	if !s.take() {
		return false, nil
	}
	return true, s
}

// UpdateGetAllowedWithoutPermission is called by Pebble after a flush.
func (s *scheduler) UpdateGetAllowedWithoutPermission() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// Done is called by Pebble at the end of a compaction.
func (s *scheduler) Done() {
	s.give()
	s.UpdateGetAllowedWithoutPermission()
}

// Started, MeasureCPU and CumulativeStats are of no use here.
func (s *scheduler) Started()                                          {}
func (s *scheduler) MeasureCPU(pebble.CompactionGoroutineKind)         {}
func (s *scheduler) CumulativeStats(pebble.CompactionGrantHandleStats) {}
