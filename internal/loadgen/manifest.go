package loadgen

import (
	"bufio"
	"fmt"
	"io"
	"math"

	"cityhub/twin"
)

// ManifestOptions of Manifest.
type ManifestOptions struct {
	Terminals int
	Readings  int           // properties v1 … of each; zero means 1
	Prefix    string        // of the codes; empty means "load-"
	Domain    twin.Domain   // empty means city-management
	Open      twin.Openness // class of the dataset; empty means none
}

// Manifest writes the terminals manifest that registers the terminals of a
// run, in YAML. They stand on a grid over Suzhou's old town and are marked
// simulated. Nothing is held in memory.
func Manifest(w io.Writer, o ManifestOptions) error {
	bad := func(field, message string) error {
		return &twin.Error{Code: twin.CodeInvalid, Op: "make manifest", Field: field, Message: message}
	}
	if o.Readings == 0 {
		o.Readings = 1
	}
	if o.Domain == "" {
		o.Domain = twin.DomainCityManagement
	}
	if o.Open == "" {
		o.Open = twin.OpenNone
	}
	switch {
	case o.Terminals < 1 || o.Terminals > MaxTerminals:
		return bad("terminals", fmt.Sprintf("%d is not between 1 and %d", o.Terminals, MaxTerminals))
	case o.Readings < 1 || o.Readings > MaxReadings:
		return bad("readings", fmt.Sprintf("%d is not between 1 and %d", o.Readings, MaxReadings))
	case !o.Domain.Valid():
		return bad("domain", fmt.Sprintf("%q is not a domain", o.Domain))
	case !o.Open.Valid():
		return bad("open", fmt.Sprintf("%q is not a class of opening", o.Open))
	}
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, `# Terminals of cityhub load.
datasets:
  - code: load
    title: 负载测试数据
    titleEn: Load test
    owner: cityhub load
    open: %s
    simulated: true
    description: Made-up readings of the load generator
properties:
`, o.Open)
	names := ""
	for k := range o.Readings {
		name := Property(k)
		if k > 0 {
			names += ", "
		}
		names += name
		fmt.Fprintf(b, "  - {name: %s, title: 负载测试值 %d, titleEn: Load value %d, unit: {name: one, symbol: \"\", ucum: \"1\"}}\n", name, k+1, k+1)
	}
	fmt.Fprintln(b, "terminals:")
	side := int(math.Ceil(math.Sqrt(float64(o.Terminals))))
	for i := range o.Terminals {
		code := Code(o.Prefix, i)
		// Bounding box of the old town: 120.598,31.285 to 120.641,31.332.
		lon := 120.598 + 0.043*(float64(i%side)+0.5)/float64(side)
		lat := 31.285 + 0.047*(float64(i/side)+0.5)/float64(side)
		fmt.Fprintf(b, "  - {code: %s, name: 负载测试终端 %d, nameEn: Load terminal %d, domain: %s, dataset: load, simulated: true, location: {lon: %.6f, lat: %.6f}, properties: [%s]}\n",
			code, i+1, i+1, o.Domain, lon, lat, names)
	}
	return b.Flush()
}
