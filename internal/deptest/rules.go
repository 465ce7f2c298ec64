package deptest

// CityHub is the import rules of this module: spatial ← twin ← {ingest,
// streams} ← cmd.
func CityHub() Rules {
	stores := []string{"twin/registry/...", "twin/series/...", "twin/state/...", "streams/log/...", "spatial/store/..."}
	handlers := []string{"internal/web/...", "ingest/...", "twin/sensorthings/...", "twin/policy/...", "streams", "streams/ws/...", "streams/sse/...", "spatial/city/...", "spatial/features/...", "spatial/tiles/...", "spatial/tiles3d/...", "spatial/edr/...", "spatial/objects/...", "spatial/query/...", "net/http"}
	const nameWhy = "a package is named for its one responsibility; a drawer for everything has none"
	return Rules{
		Arrows: []Arrow{
			{
				From: []string{"spatial/..."}, To: []string{"twin/...", "ingest/...", "streams/...", "viewer/...", "cmd/..."},
				Why: "spatial is geometry: it knows nothing of readings, so that it can be used and tested by itself",
			},
			{
				From: []string{"twin"}, To: []string{"./..."}, ToExcept: []string{"spatial/..."}, Direct: true,
				Why: "twin is the vocabulary of every other package: what it imported, all would import; of the hub it may know spatial",
			},
			{
				From: []string{"twin/..."}, To: []string{"ingest/...", "streams/...", "viewer/...", "cmd/..."},
				Why: "the domain does not know how readings come in or go out: imports run spatial ← twin ← {ingest, streams} ← cmd",
			},
			{
				From: []string{"ingest/..."}, To: []string{"streams/...", "viewer/...", "cmd/..."},
				Why: "ingest and streams never meet: the log stands between them, and cmd hands ingest the log behind an interface that ingest declares",
			},
			{
				From: []string{"streams/..."}, To: []string{"ingest/...", "viewer/...", "cmd/..."},
				Why: "streams and ingest never meet: what streams show comes from the log, never from a connection that has not been made durable",
			},
			{
				From: []string{"streams/client/..."}, To: []string{"./..."}, ToExcept: []string{"twin", "streams/client/..."}, Direct: true,
				Why: "the client knows the hub by its protocol only, as a program of another department would: what it imported of the server, that program would carry",
			},
			{
				From: []string{"viewer/..."}, To: []string{"twin/...", "ingest/...", "streams/...", "spatial/...", "cmd/..."},
				Why: "the viewer speaks to the hub over HTTP only, as any other client does",
			},
			{
				From: stores, To: handlers,
				Why: "stores never import handlers: a store is used by the gate and by tests without any protocol around it",
			},
			{
				From: []string{"internal/web/..."}, To: []string{"./..."}, ToExcept: []string{"twin", "twin/policy", "internal/web/..."}, Direct: true,
				Why: "every HTTP handler imports internal/web, so of the hub it may know only the errors of twin and, from twin/policy, who is asking",
			},
			{
				From: []string{"..."}, Except: []string{"cmd/...", "internal/..."}, To: []string{"cmd/...", "internal/bench/...", "internal/deptest/..."},
				Why: "programs wire packages together; nothing depends on a program",
			},
		},
		Closed: []string{"internal/web/..."},
		Only: []Only{
			{
				Import: []string{"github.com/knadh/koanf/...", "github.com/alecthomas/kong/..."}, In: []string{"cmd/...", "internal/bench/..."},
				Why: "only programs read configuration; a package gets an Options struct with documented zero values",
			},
			{
				Import: []string{"github.com/nats-io/..."}, In: []string{"streams/log/..."},
				Why: "only the log package knows that the log is NATS JetStream; the others know positions and batches",
			},
			{
				Import: []string{"github.com/cockroachdb/pebble/..."}, In: []string{"twin/series/pebble/..."},
				Why: "only twin/series/pebble knows Pebble; the others know the contract twin/series",
			},
			{
				Import: []string{"modernc.org/sqlite/...", "github.com/pressly/goose/...", "database/sql/..."}, In: []string{"twin/registry/...", "spatial/store/gpkg/...", "spatial/citymodel/geopackage/...", "spatial/export/..."},
				Why: "only the registry, the GeoPackage store and the reader and the writer of GeoPackages know that what they keep is in SQLite; the others know their methods",
			},
			{
				Import: []string{"github.com/parquet-go/..."}, In: []string{"spatial/export/..."},
				Why: "only spatial/export writes Parquet; the others know its Writer",
			},
			{
				Import: []string{"github.com/jackc/...", "github.com/twpayne/go-geom/..."}, In: []string{"spatial/store/postgis/..."},
				Why: "only the PostGIS store knows PostgreSQL and EWKB; the others know the contract spatial/store",
			},
			{
				Import: []string{"github.com/gorilla/websocket/..."}, In: []string{"streams", "streams/ws/...", "streams/client/...", "cmd/...", "internal/bench/...", "internal/streamload/..."}, Tests: true,
				Why: "only streams speaks WebSocket: the hub prepares a frame once for all clients, streams/ws serves them, streams/client is a client of it, as programs, their load client and tests may be",
			},
			{
				Import: []string{"github.com/fxamacker/cbor/..."}, In: []string{"streams/ws/...", "streams/client/..."}, Tests: true,
				Why: "only the stream has messages in CBOR; the others speak JSON",
			},
			{
				Import: []string{"github.com/santhosh-tekuri/jsonschema/..."}, In: nil, Tests: true,
				Why: "only tests check what is sent against the published schemas; the program checks what it reads by hand, with errors that name the field",
			},
			{
				Import: []string{"C"}, In: nil,
				Why: "the binary stays pure Go: CGO_ENABLED=0 builds it for every machine a city has",
			},
			{
				Import: []string{"testing/...", "internal/testkit/...", "go.uber.org/goleak", "pgregory.net/rapid"}, In: []string{"internal/testkit/...", "*test"}, Tests: true,
				Why: "test helpers stay out of the program: they belong in _test.go files, in internal/testkit or in a package whose name ends in test, such as a conformance suite",
			},
		},
		Uses: []Only{
			{
				Import: []string{"os.Getenv", "os.LookupEnv", "os.Environ", "os.ExpandEnv", "syscall.Getenv", "syscall.Environ"},
				In:     []string{"cmd/...", "internal/testkit/...", "internal/bench/...", "*test"}, Tests: true,
				Why: "only programs read the environment; a setting that a package reads behind its caller's back cannot be tested or documented",
			},
			{
				Import: []string{"github.com/gorilla/websocket.Upgrader", "github.com/gorilla/websocket.Upgrade"}, In: []string{"streams/ws/...", "streams/client/internal/scripttest"}, Tests: true,
				Why: "one place accepts WebSocket connections, so that limits, close codes and the gate hold for all of them; a script of the client's tests plays the hub to it",
			},
			{
				Import: []string{"log.Fatal", "log.Fatalf", "log.Fatalln", "os.Exit"}, In: []string{"cmd/...", "internal/bench/...", "internal/sample/gen/..."}, Tests: true,
				Why: "a package returns errors; only a program ends the process, after what it started has been closed",
			},
		},
		TestsMay: []Allowance{
			{
				From: []string{"ingest/..."}, To: []string{"streams/log/..."},
				Why: "only the real log can show that acknowledged means durable",
			},
			{
				From: []string{"ingest/...", "streams/..."}, To: []string{"github.com/nats-io/..."},
				Why: "a test may start an external NATS server or look at what the log wrote",
			},
			{
				From: []string{"streams/client/..."}, To: []string{"streams", "streams/ws/...", "streams/internal/streamtest/..."},
				Why: "the client is tested with the real hub behind it",
			},
			{
				From: []string{"spatial/query/..."}, To: []string{"github.com/parquet-go/..."},
				Why: "what a caller gets is counted by reading it",
			},
			{
				From: []string{"cmd/..."}, To: []string{"..."},
				Why: "end-to-end tests look at every part of the running hub",
			},
			{
				From: []string{"twin/policy/...", "twin/sensorthings/..."}, To: []string{"twin/series/pebble/..."},
				Why: "the gate is tested with the real store behind it",
			},
		},
		BadNames: map[string]string{
			"util": nameWhy, "utils": nameWhy, "common": nameWhy, "helper": nameWhy, "helpers": nameWhy, "misc": nameWhy, "shared": nameWhy,
		},
		InitWhy:    "code that runs because it was imported cannot be configured, ordered or tested: construct it and hand it on",
		CommentWhy: "every package says in a comment \"Package name …\" what it is for, what it guarantees and which goroutines may use it",
	}
}
