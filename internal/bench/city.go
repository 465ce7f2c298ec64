package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"

	"cityhub/internal/loadgen"
)

// The city of the row city: houses in a square grid from a corner in Suzhou,
// every tenth with a terminal in it. A house is 12 m wide, its neighbour 20 m
// off.
const (
	cityWest, citySouth    = 120.50, 31.20
	houseStep, houseSize   = 0.0002, 0.00012 // degrees
	houseEvery             = 10              // houses with a terminal
	cityAsked, cityPerPage = 200, 1000       // questions, and features in an answer
)

// house is the south-west corner of house i.
func house(i, side int) (lon, lat float64) {
	return cityWest + float64(i%side)*houseStep, citySouth + float64(i/side)*houseStep
}

// writeCity writes n houses as a sequence of GeoJSON Features.
func writeCity(name string, n, side int) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	uses := []string{"residential", "commercial", "office", "school"}
	var b []byte
	for i := range n {
		x, y := house(i, side)
		b = append(b[:0], `{"type":"Feature","id":"h`...)
		b = strconv.AppendInt(b, int64(i), 10)
		b = append(b, `","geometry":{"type":"Polygon","coordinates":[[`...)
		for k, c := range [][2]float64{{0, 0}, {1, 0}, {1, 1}, {0, 1}, {0, 0}} {
			if k > 0 {
				b = append(b, ',')
			}
			b = append(b, '[')
			b = strconv.AppendFloat(b, x+c[0]*houseSize, 'f', 7, 64)
			b = append(b, ',')
			b = strconv.AppendFloat(b, y+c[1]*houseSize, 'f', 7, 64)
			b = append(b, ']')
		}
		b = append(b, `]]},"properties":{"name":"`...)
		b = strconv.AppendInt(b, int64(i%997), 10)
		b = append(b, ` Lane","height":`...)
		b = strconv.AppendInt(b, int64(3+(i%side*13+i/side*7)%40), 10)
		b = append(b, `,"use":"`...)
		b = append(b, uses[i%4]...)
		b = append(b, `","year":`...)
		b = strconv.AppendInt(b, int64(1900+i%120), 10)
		b = append(b, "}}\n"...)
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return w.Flush()
}

// writePlacedTerminals writes the load generator's terminals, each in a house.
func writePlacedTerminals(name string, n, side int) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	fmt.Fprintf(w, "datasets: [{code: bench, title: bench, owner: bench}]\nproperties: [{name: %s, title: value, unit: \"1\"}]\nterminals:\n", loadgen.Property(0))
	for i := range n {
		x, y := house(i*houseEvery, side)
		fmt.Fprintf(w, "- {code: %s, name: t, domain: environment, dataset: bench, simulated: true, location: {lon: %.6f, lat: %.6f}, properties: [%s]}\n",
			loadgen.Code("", i), x+houseSize/2, y+houseSize/2, loadgen.Property(0))
	}
	return w.Flush()
}

// cityRow measures the city model in a GeoPackage or in PostGIS.
func cityRow(postgis bool) func(context.Context, *bench) ([]line, error) {
	return func(ctx context.Context, b *bench) ([]line, error) {
		if !postgis {
			return city(ctx, b, "houses: ")
		}
		b.set = []string{"city.store=postgis", "city.url=" + b.postgis}
		return city(ctx, b, "houses in PostGIS: ", "--postgis", b.postgis)
	}
}

// city measures the city model at a million objects: import, questions that
// join attributes and live values, and vector tiles.
func city(ctx context.Context, b *bench, of string, into ...string) ([]line, error) {
	side := pick(b, 1000, 120)
	n := side * side
	terminals := n / houseEvery
	rng := rand.New(rand.NewPCG(3, 5))
	title := count(float64(n)) + " " + of

	model, manifest, data := b.file("city.geojsonl"), b.file("terminals.yaml"), b.file("data")
	if err := errors.Join(writeCity(model, n, side), writePlacedTerminals(manifest, terminals, side)); err != nil {
		return nil, err
	}
	began := time.Now()
	command := append([]string{"import", "city", model, "--class", "building", "--dataset", "houses", "--data", data}, into...)
	_, importer, err := b.command(ctx, command...)
	if err != nil {
		return nil, err
	}
	imported := time.Since(began)
	began = time.Now()
	if _, _, err := b.command(ctx, command...); err != nil {
		return nil, err
	}
	again := time.Since(began)
	if _, _, err := b.command(ctx, "import", "terminals", manifest, "--data", data); err != nil {
		return nil, err
	}
	h, err := b.startHub(ctx, data)
	if err != nil {
		return nil, err
	}
	usage, err := h.settle(ctx, b)
	if err != nil {
		return nil, err
	}
	res, _, err := b.load(ctx, h, "--connections", "100", "--terminals", strconv.Itoa(terminals), "--readings", "1", "--messages", strconv.Itoa(terminals))
	if err != nil {
		return nil, err
	}
	if res.Acked != int64(terminals) {
		return nil, fmt.Errorf("%d of %d messages were acknowledged", res.Acked, terminals)
	}
	if _, err := h.caughtUp(ctx); err != nil {
		return nil, err
	}
	lines := []line{
		{
			Path: title + "import of GeoJSONSeq into a stopped hub, new / as they were", Goal: "≥ 50 k features/s",
			Measured: fmt.Sprintf("%s features/s / %s features/s (peak RSS %s)", count(float64(n)/imported.Seconds()), count(float64(n)/again.Seconds()), bytesText(peakOf(importer))),
			Values:   map[string]float64{"perSecond": float64(n) / imported.Seconds(), "unchangedPerSecond": float64(n) / again.Seconds(), "peakRssBytes": float64(peakOf(importer))},
		},
		{
			Path: title + fmt.Sprintf("start to ready with %s terminals bound to them, memory", count(float64(terminals))), Goal: "—",
			Measured: fmt.Sprintf("%s, RSS %s", durationText(h.ready), bytesText(usage.rss)),
			Values:   map[string]float64{"seconds": h.ready.Seconds(), "rssBytes": float64(usage.rss)},
		},
	}

	// Boxes with some more houses than a page takes: a third of the houses is
	// over 27 m, a tenth observed.
	box := func(houses int) string {
		d := math.Ceil(math.Sqrt(float64(houses))) * houseStep
		x := cityWest + rng.Float64()*max(0, float64(side)*houseStep-d)
		y := citySouth + rng.Float64()*max(0, float64(side)*houseStep-d)
		return fmt.Sprintf("%.6f,%.6f,%.6f,%.6f", x, y, x+d, y+d)
	}
	page := pick(b, cityPerPage, 100)
	for _, q := range []struct{ what, collection, filter string }{
		{"bbox + attribute", "buildings", "height > 27"},
		{"bbox + attribute + live value", "live", "height > 10 AND v1 >= 0 AND class = 'building'"},
	} {
		candidates := page * 10 / 3
		if q.collection == "live" {
			candidates = page * houseEvery * 3 / 2
		}
		path := func() string {
			return "/ogc/collections/" + q.collection + "/items?f=json&limit=" + strconv.Itoa(page) + "&bbox=" + box(candidates) + "&filter=" + url.QueryEscape(q.filter)
		}
		took, bytesOut, err := h.ask(ctx, pick(b, cityAsked, 20), "identity", path, func(body []byte) error {
			if got := bytes.Count(body, []byte(`"type":"Feature",`)); got != page {
				return fmt.Errorf("%d features in the answer, expected %d", got, page)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.what, err)
		}
		lines = append(lines, line{
			Path: title + q.what + fmt.Sprintf(", %d features out, p50 / p95", page), Goal: "p95 < 20 ms",
			Measured: took.String() + fmt.Sprintf(" (%s each)", bytesText(bytesOut)), Checked: "features of every answer counted", Values: took.values(),
		})
	}

	// Tiles at random places; each is asked for once, then once more.
	var paths []string
	for z := 12; z <= 17; z++ {
		for range pick(b, 40, 4) {
			x, y := tileOf(cityWest+rng.Float64()*float64(side)*houseStep, citySouth+rng.Float64()*float64(side)*houseStep, z)
			paths = append(paths, fmt.Sprintf("/ogc/collections/buildings/tiles/WebMercatorQuad/%d/%d/%d", z, y, x))
		}
	}
	slices.Sort(paths)
	paths = slices.Compact(paths)
	for _, what := range []struct{ name, goal string }{{"cold", "p95 < 50 ms"}, {"cached", "p95 < 2 ms"}} {
		i := -1
		took, bytesOut, err := h.ask(ctx, len(paths), "gzip", func() string { i++; return paths[i] }, func(body []byte) error {
			if len(body) == 0 {
				return errors.New("an empty tile")
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%s tiles: %w", what.name, err)
		}
		lines = append(lines, line{
			Path: title + "vector tile, zoom 12 to 17, " + what.name + ", p50 / p95", Goal: what.goal,
			Measured: took.String() + fmt.Sprintf(" (%d tiles, %s each)", len(paths), bytesText(bytesOut)), Values: took.values(),
		})
	}
	return lines, nil
}

// tileOf is the column and row of the tile of WebMercatorQuad that holds a place.
func tileOf(lon, lat float64, z int) (x, y int) {
	n := math.Exp2(float64(z))
	phi := lat * math.Pi / 180
	return int((lon + 180) / 360 * n), int((1 - math.Log(math.Tan(phi)+1/math.Cos(phi))/math.Pi) / 2 * n)
}

// asked is how long each of some questions took, in order of time.
type asked []time.Duration

func (a asked) at(percent float64) float64 {
	return float64(a[min(len(a)-1, int(float64(len(a))*percent/100))].Microseconds()) / 1000
}

func (a asked) String() string { return fmt.Sprintf("%.1f / %.1f ms", a.at(50), a.at(95)) }

func (a asked) values() map[string]float64 {
	return map[string]float64{"p50Ms": a.at(50), "p95Ms": a.at(95), "maxMs": a.at(100)}
}

// ask asks n questions one after another and checks each answer; bytesEach is
// the mean size of an answer, in the encoding that is asked for, as sent.
func (h *hub) ask(ctx context.Context, n int, encoding string, path func() string, check func([]byte) error) (took asked, bytesEach int64, err error) {
	var body bytes.Buffer
	for range n {
		p := path()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.http+p, nil)
		if err != nil {
			return nil, 0, err
		}
		req.Header.Set("Authorization", "Bearer "+h.token)
		req.Header.Set("Accept-Encoding", encoding)
		began := time.Now()
		res, err := h.client.Do(req)
		if err != nil {
			return nil, 0, err
		}
		body.Reset()
		_, err = io.Copy(&body, res.Body)
		took = append(took, time.Since(began))
		_ = res.Body.Close() // it was read to its end
		if err == nil && res.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %.300s", res.Status, body.Bytes())
		}
		if err == nil {
			err = check(body.Bytes())
		}
		if err != nil {
			return nil, 0, fmt.Errorf("GET %s: %w", p, err)
		}
		bytesEach += int64(body.Len())
	}
	slices.Sort(took)
	return took, bytesEach / int64(n), nil
}
