package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	kyaml "github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"go.yaml.in/yaml/v3"

	"cityhub/twin/policy"
)

// Config is the hub's configuration: configs/cityhub.yaml shows every key with
// its default and meaning. Keys are the lower-camel names of the fields.
type Config struct {
	HTTP   HTTPConfig
	MQTT   MQTTConfig
	Data   string // folder for everything the hub keeps
	Log    LogConfig
	Series SeriesConfig
	City   CityConfig
	Ingest IngestConfig
	Auth   AuthConfig

	Webhooks WebhooksConfig
}

// HTTPConfig is about the web pages and APIs.
type HTTPConfig struct {
	Listen string // address; port 0 takes a free one
	// AllowedOrigins may open the stream from pages of other sites, e.g.
	// https://city.example; none by default.
	AllowedOrigins []string
	// MaxStreamClients bounds the streaming connections.
	MaxStreamClients int
}

// MQTTConfig is about the endpoint for terminals.
type MQTTConfig struct {
	Listen         string
	MaxPacketBytes int // a larger PUBLISH is refused and recorded
	MaxConnections int
}

// LogConfig is about the log. Once a reading has left the log's retention no
// view can be rebuilt with it.
type LogConfig struct {
	URL          string        // empty: embedded NATS JetStream
	Credentials  string        // file with NATS credentials for URL
	MaxAge       time.Duration // 0: no bound
	MaxBytes     int64
	MinFreeBytes int64 // below this much free disk nothing more is acknowledged
	Replicas     int   // of the streams on an external cluster; 0: as they are, or 1
}

// WebhooksConfig is about deliveries to other systems.
type WebhooksConfig struct {
	PlainHosts    []string // hosts that http without TLS may reach
	InnerNetworks []string // networks, e.g. 10.0.0.0/8, that deliveries may reach although they are not public
}

// SeriesConfig is about the time-series store.
type SeriesConfig struct {
	Engine string // pebble
}

// CityConfig is about the city model's store.
type CityConfig struct {
	Store string // gpkg or postgis
	URL   string // of PostGIS
	// MemoryBytes of objects, without the geometries of their levels of detail, are
	// kept in memory to answer questions; 0: none.
	MemoryBytes int64
	// GroundMetres is the height of the ground in 3D Tiles, for what has none.
	GroundMetres float64
	// EllipsoidOffsetMetres is added in 3D Tiles to heights above a levelling
	// datum: the geoid's height there.
	EllipsoidOffsetMetres float64
}

// IngestConfig is about what is taken in.
type IngestConfig struct {
	AutoRegister bool          // register unknown terminals and properties as they appear
	MaxFuture    time.Duration // a reading further ahead of the clock is refused
	MaxPast      time.Duration // 0: no bound
}

// AuthConfig is about who may see what.
type AuthConfig struct {
	AnonymousRole string // public; admin for tests only
}

func defaultConfig() Config {
	return Config{
		HTTP:   HTTPConfig{Listen: "127.0.0.1:8080", MaxStreamClients: 20_000},
		MQTT:   MQTTConfig{Listen: "127.0.0.1:1883", MaxPacketBytes: 1 << 20, MaxConnections: 100_000},
		Data:   "./data",
		Log:    LogConfig{MaxBytes: 10 << 30, MinFreeBytes: 256 << 20},
		Series: SeriesConfig{Engine: "pebble"},
		City:   CityConfig{Store: "gpkg", MemoryBytes: 512 << 20},
		Ingest: IngestConfig{MaxFuture: 5 * time.Minute},
		Auth:   AuthConfig{AnonymousRole: string(policy.RolePublic)},
	}
}

// Validate names the first key whose value makes no sense.
func (c Config) Validate() error {
	oneOf := func(key, value string, allowed ...string) error {
		if slices.Contains(allowed, value) {
			return nil
		}
		return fmt.Errorf("%s: %q is not one of %s", key, value, strings.Join(allowed, ", "))
	}
	atLeast := func(key string, value, least int64) error {
		if value >= least {
			return nil
		}
		return fmt.Errorf("%s: %d is less than %d", key, value, least)
	}
	notEmpty := func(key, value string) error {
		if value != "" {
			return nil
		}
		return fmt.Errorf("%s: must not be empty", key)
	}
	return errors.Join(
		notEmpty("http.listen", c.HTTP.Listen),
		notEmpty("mqtt.listen", c.MQTT.Listen),
		notEmpty("data", c.Data),
		atLeast("http.maxStreamClients", int64(c.HTTP.MaxStreamClients), 1),
		atLeast("mqtt.maxPacketBytes", int64(c.MQTT.MaxPacketBytes), 128),
		atLeast("mqtt.maxConnections", int64(c.MQTT.MaxConnections), 1),
		atLeast("log.maxAge", int64(c.Log.MaxAge), 0),
		atLeast("log.maxBytes", c.Log.MaxBytes, 0),
		atLeast("log.minFreeBytes", c.Log.MinFreeBytes, 0),
		replicas(c.Log),
		networks("webhooks.innerNetworks", c.Webhooks.InnerNetworks),
		atLeast("ingest.maxFuture", int64(c.Ingest.MaxFuture), 0),
		atLeast("ingest.maxPast", int64(c.Ingest.MaxPast), 0),
		oneOf("series.engine", c.Series.Engine, "pebble"),
		oneOf("city.store", c.City.Store, "gpkg", "postgis"),
		cityURL(c.City),
		atLeast("city.memoryBytes", c.City.MemoryBytes, 0),
		oneOf("auth.anonymousRole", c.Auth.AnonymousRole, string(policy.RolePublic), string(policy.RoleAdmin)),
	)
}

// replicas says whether the log can have as many.
func replicas(c LogConfig) error {
	switch {
	case c.Replicas < 0 || c.Replicas > 5:
		return fmt.Errorf("log.replicas: %d is not 0 to 5", c.Replicas)
	case c.Replicas > 1 && c.URL == "":
		return fmt.Errorf("log.replicas: %d copies need a NATS cluster: name its servers in log.url", c.Replicas)
	}
	return nil
}

// networks names the first text that is no network.
func networks(key string, list []string) error {
	for _, s := range list {
		if _, err := netip.ParsePrefix(s); err != nil {
			return fmt.Errorf("%s: %q is no network such as 10.0.0.0/8", key, s)
		}
	}
	return nil
}

// cityURL says whether the city model's address fits its store.
func cityURL(c CityConfig) error {
	switch {
	case c.Store == "postgis" && c.URL == "":
		return errors.New("city.url: must not be empty when city.store is postgis, e.g. postgres://cityhub:password@127.0.0.1:5432/city")
	case c.Store == "gpkg" && c.URL != "":
		return errors.New("city.url: is for city.store postgis; the GeoPackage lies in the data folder")
	}
	return nil
}

// loadConfig reads defaults, then the file (none when path is empty), then
// key=value settings, each over the one before.
func loadConfig(path string, set []string) (Config, error) {
	c := defaultConfig()
	k := koanf.New(".")
	if path != "" {
		if err := k.Load(file.Provider(path), kyaml.Parser()); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				return c, fmt.Errorf("there is no configuration file %s", path)
			}
			return c, fmt.Errorf("%s: %w", path, err)
		}
	}
	for _, s := range set {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return c, fmt.Errorf("--set %s: expected key=value, e.g. ingest.autoRegister=true", s)
		}
		var v any
		if err := yaml.Unmarshal([]byte(value), &v); err != nil || v == nil {
			v = value
		}
		if err := k.Set(key, v); err != nil {
			return c, fmt.Errorf("--set %s: %w", s, err)
		}
	}
	known := configKeys(reflect.TypeFor[Config](), "")
	for _, key := range k.Keys() {
		if !slices.Contains(known, key) {
			return c, fmt.Errorf("unknown configuration key %q; known keys: %s", key, strings.Join(known, ", "))
		}
	}
	err := k.UnmarshalWithConf("", &c, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		Result:           &c,
		WeaklyTypedInput: false,
		DecodeHook:       mapstructure.StringToTimeDurationHookFunc(),
		MatchName:        strings.EqualFold,
	}})
	if err != nil {
		return c, fmt.Errorf("configuration: %s", keysInError(err, known))
	}
	return c, c.Validate()
}

// keysInError writes the decoder's field names, 'Log.MaxAge', as the keys that
// the user knows, log.maxAge.
func keysInError(err error, known []string) string {
	text := err.Error()
	if lines := strings.Split(text, "\n"); len(lines) > 1 {
		text = strings.TrimSpace(strings.Join(lines[1:], " "))
	}
	for _, key := range known {
		if i := strings.Index(strings.ToLower(text), "'"+strings.ToLower(key)+"'"); i >= 0 {
			text = text[:i] + key + ":" + text[i+len(key)+2:]
		}
	}
	return text
}

// configKeys lists the keys of a configuration struct in the order they are declared.
func configKeys(t reflect.Type, prefix string) []string {
	var keys []string
	for i := range t.NumField() {
		f := t.Field(i)
		key := prefix + lowerCamel(f.Name)
		if f.Type.Kind() == reflect.Struct {
			keys = append(keys, configKeys(f.Type, key+".")...)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

// lowerCamel turns a field name into a key: HTTP → http, MaxAge → maxAge.
func lowerCamel(name string) string {
	n := 0
	for n < len(name) && name[n] >= 'A' && name[n] <= 'Z' {
		n++
	}
	if n > 1 && n < len(name) {
		n-- // the last capital starts the next word
	}
	return strings.ToLower(name[:n]) + name[n:]
}
