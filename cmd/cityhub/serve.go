package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"time"

	"cityhub/internal/sample"
	"cityhub/twin/policy"
)

type serveCmd struct {
	Config   string   `short:"c" type:"path" placeholder:"FILE" help:"Configuration file; configs/cityhub.yaml shows every key."`
	Data     string   `placeholder:"DIR" help:"Folder for everything the hub keeps (default ./data)."`
	HTTP     string   `name:"http" placeholder:"ADDR" help:"Address of the web pages and APIs (default 127.0.0.1:8080)."`
	MQTT     string   `name:"mqtt" placeholder:"ADDR" help:"Address of the MQTT endpoint (default 127.0.0.1:1883)."`
	Set      []string `sep:"none" placeholder:"KEY=VALUE" help:"Set one configuration key, e.g. --set ingest.autoRegister=true; may be repeated."`
	Sample   bool     `help:"Add a few simulated terminals of Gusu that replay a recorded hour in a loop."`
	LogLevel string   `enum:"debug,info,warn,error" default:"info" help:"Least level to log (debug, info, warn, error)."`
	LogJSON  bool     `name:"log-json" help:"Log JSON lines instead of text."`

	CPUProfile string `name:"cpuprofile" hidden:"" type:"path" placeholder:"FILE" help:"Write a CPU profile until the hub stops."`
}

func (c *serveCmd) Run(ctx context.Context, std *output) error {
	cfg, err := loadConfig(c.Config, c.Set)
	if err != nil {
		return err
	}
	for _, o := range []struct {
		flag string
		key  *string
	}{{c.Data, &cfg.Data}, {c.HTTP, &cfg.HTTP.Listen}, {c.MQTT, &cfg.MQTT.Listen}} {
		if o.flag != "" {
			*o.key = o.flag
		}
	}
	if err := cfg.Validate(); err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return err
	}
	var handler slog.Handler = slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: level})
	if c.LogJSON {
		handler = slog.NewJSONHandler(std.err, &slog.HandlerOptions{Level: level})
	}
	logger := slog.New(handler)

	if c.CPUProfile != "" {
		f, err := os.Create(c.CPUProfile)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	unlock, err := lockData(cfg.Data)
	if err != nil {
		return err
	}
	defer unlock()
	// Both addresses are taken before anything is opened: a port that is in
	// use should say so at once.
	httpLn, err := listen("http.listen", cfg.HTTP.Listen)
	if err != nil {
		return err
	}
	mqttLn, err := listen("mqtt.listen", cfg.MQTT.Listen)
	if err != nil {
		return errors.Join(err, httpLn.Close())
	}
	if cfg.Auth.AnonymousRole == string(policy.RoleAdmin) {
		logger.Warn("auth.anonymousRole is admin: whoever reaches the hub sees and changes everything; this is for tests only")
	}
	h, err := openHub(ctx, cfg, logger)
	if err != nil {
		return errors.Join(err, httpLn.Close(), mqttLn.Close())
	}
	if c.Sample {
		if err := h.importSample(ctx); err != nil {
			return errors.Join(err, httpLn.Close(), mqttLn.Close(), h.Close())
		}
	}
	baseURL := "http://" + reachable(httpLn.Addr())
	token, err := h.operatorToken(ctx)
	if err != nil {
		return errors.Join(err, httpLn.Close(), mqttLn.Close(), h.Close())
	}
	ready := func() {
		fmt.Fprintf(std.out, "ready http=%s mqtt=%s\n", baseURL, reachable(mqttLn.Addr()))
		fmt.Fprintf(std.out, "  live readings, as the public sees them   %s/\n", baseURL)
		if token != "" {
			fmt.Fprintf(std.out, "  as the operator (keep this link secret)  %s/#token=%s\n", baseURL, token)
			fmt.Fprintf(std.out, "  the operator's token is kept in          %s\n", filepath.Join(cfg.Data, tokenFile))
		}
		if c.Sample {
			fmt.Fprintf(std.out, "  the readings shown are simulated (模拟数据): %d terminals of Gusu replay a recorded hour\n", h.sampleTerminals)
		}
	}
	run := []service{}
	if c.Sample {
		run = append(run, service{"sample", func(ctx context.Context) error {
			return sample.Run(ctx, sample.Options{Broker: reachable(mqttLn.Addr())})
		}})
	}
	return errors.Join(h.Run(ctx, httpLn, mqttLn, ready, run...), h.Close())
}

// listen takes an address; its error names the configuration key.
func listen(key, addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: cannot listen on %s: %w; another program may use the port: choose another one with --%s", key, addr, err, strings.TrimSuffix(key, ".listen"))
	}
	return ln, nil
}

// reachable is an address that a client on this machine can connect to.
func reachable(a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	if ok && t.IP.IsUnspecified() {
		return fmt.Sprintf("127.0.0.1:%d", t.Port)
	}
	return a.String()
}

// tokenFile holds the operator's token, readable by the owner alone.
const tokenFile = "operator.token"

// operatorToken makes the operator's token at the first start; at later ones
// it gives the one in the file, if it is still there.
func (h *hub) operatorToken(ctx context.Context) (string, error) {
	path := filepath.Join(h.cfg.Data, tokenFile)
	tokens, err := h.registry.ListTokens(ctx)
	if err != nil {
		return "", err
	}
	if len(tokens) > 0 {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", nil // the operator took it away: good
		}
		secret := strings.TrimSpace(string(b))
		if _, err := h.registry.VerifyToken(ctx, secret); err != nil {
			return "", nil
		}
		return secret, nil
	}
	secret, err := h.registry.CreateToken(ctx, "operator", operatorRole, time.Time{})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep the operator's token: %w", err)
	}
	return secret, nil
}
