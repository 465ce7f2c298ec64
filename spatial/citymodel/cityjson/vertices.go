package cityjson

import (
	"fmt"

	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/faults"
	"cityhub/spatial/citymodel/internal/jsonscan"
)

// chunk is how many vertices are allocated at once: growing copies nothing.
const chunk = 1 << 14

// vertices is a table of vertices as they are written: integers of 32 bits, 12
// bytes a vertex, until one is not; then all are float64, 24 bytes a vertex.
type vertices struct {
	ints   [][]int32
	floats [][]float64
	wide   bool
	n      int
}

func (v *vertices) reset() { v.n, v.wide = 0, false }

func (v *vertices) add(p [3]float64) {
	if !v.wide {
		for _, f := range p {
			if f != float64(int32(f)) {
				v.widen()
				break
			}
		}
	}
	c, i := v.n/chunk, 3*(v.n%chunk)
	v.n++
	if v.wide {
		if c == len(v.floats) {
			v.floats = append(v.floats, make([]float64, 3*chunk))
		}
		copy(v.floats[c][i:], p[:])
		return
	}
	if c == len(v.ints) {
		v.ints = append(v.ints, make([]int32, 3*chunk))
	}
	to := v.ints[c][i : i+3]
	to[0], to[1], to[2] = int32(p[0]), int32(p[1]), int32(p[2])
}

// widen turns the integers into floats, chunk by chunk.
func (v *vertices) widen() {
	v.wide = true
	v.floats = v.floats[:0]
	for c := range v.ints {
		if c*chunk >= v.n {
			break
		}
		f := make([]float64, 3*chunk)
		for i, n := range v.ints[c] {
			f[i] = float64(n)
		}
		v.floats = append(v.floats, f)
		v.ints[c] = nil
	}
	v.ints = nil
}

// at is vertex i, which must be one of the n.
func (v *vertices) at(i int) (p [3]float64) {
	c, i := i/chunk, 3*(i%chunk)
	if v.wide {
		copy(p[:], v.floats[c][i:i+3])
		return p
	}
	from := v.ints[c][i : i+3]
	return [3]float64{float64(from[0]), float64(from[1]), float64(from[2])}
}

// read takes an array of vertices. A faulty vertex spoils all indices, so that
// every error is final.
func (v *vertices) read(s *jsonscan.Scanner, name string, l citymodel.Limits) error {
	v.reset()
	return s.Array(func(i int) error {
		if i >= l.Vertices {
			return faults.At(s, citymodel.TooLarge, "%s: more than %d vertices; raise Limits.Vertices (12 to 24 bytes each) or split the file", name, l.Vertices)
		}
		p, err := point(s)
		if err != nil {
			return fmt.Errorf("%s[%d]: %w", name, i, err)
		}
		v.add(p)
		return nil
	})
}

// point takes an array of three numbers.
func point(s *jsonscan.Scanner) (p [3]float64, err error) {
	n := 0
	err = s.Array(func(i int) error {
		if i == 3 {
			return faults.At(s, citymodel.WrongType, "more than 3 coordinates")
		}
		n++
		var err error
		p[i], err = s.Float()
		return err
	})
	if err == nil && n != 3 {
		err = faults.At(s, citymodel.WrongType, "%d coordinates, expected 3", n)
	}
	return p, err
}
