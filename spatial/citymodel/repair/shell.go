package repair

import (
	"cityhub/spatial"
	"cityhub/spatial/citymodel"
)

// use is an edge of a face: forward where it runs from the lesser point to the
// greater.
type use struct {
	face    int
	forward bool
}

type edgeKey struct{ a, b [3]float64 }

// orient turns the faces of a shell that is closed, each edge between two faces,
// so that neighbours run through their edge in opposite directions, and the
// shell faces outwards, a cavity's inwards.
func (m *mender) orient(faces []face, where string, cavity bool) {
	if len(faces) < 4 {
		return
	}
	edges := make(map[edgeKey][]use)
	for i := range faces {
		for _, ring := range faces[i].rings {
			for p, n := 0, len(ring); p < n; p += 3 {
				q := (p + 3) % n
				a, b := [3]float64(ring[p:p+3]), [3]float64(ring[q:q+3])
				forward := less(a, b)
				if !forward {
					a, b = b, a
				}
				k := edgeKey{a, b}
				if len(edges[k]) == 2 {
					return // not a manifold: which side is outside cannot be told
				}
				edges[k] = append(edges[k], use{i, forward})
			}
		}
	}
	neighbours := make([][]struct {
		face int
		same bool
	}, len(faces))
	wrong := false
	for _, uses := range edges {
		if len(uses) != 2 || uses[0].face == uses[1].face {
			return
		}
		same := uses[0].forward == uses[1].forward
		wrong = wrong || same
		for i, u := range uses {
			neighbours[u.face] = append(neighbours[u.face], struct {
				face int
				same bool
			}{uses[1-i].face, same})
		}
	}
	turn := make([]bool, len(faces))
	if wrong && !agree(neighbours, turn) {
		return
	}
	turned := 0
	for i := range faces {
		if turn[i] {
			turned++
			turnFace(&faces[i])
		}
	}
	inwards := volume(faces) < 0
	if inwards != cavity {
		for i := range faces {
			turnFace(&faces[i])
		}
		turned = len(faces) - turned
	}
	switch {
	case wrong:
		m.fix(citymodel.PolygonOrientation, false, where, "%d of %d surfaces faced the wrong way; turned", turned, len(faces))
	case inwards != cavity:
		m.fix(citymodel.ShellOrientation, false, where, "all %d surfaces faced the wrong way; turned", len(faces))
	}
}

// agree finds which faces to turn so that all agree with the first; false where
// that cannot be, as on a Möbius strip, or where the shell falls apart into
// several, each of which could face either way.
func agree(neighbours [][]struct {
	face int
	same bool
}, turn []bool) bool {
	seen := make([]bool, len(turn))
	queue := []int{0}
	seen[0] = true
	for len(queue) > 0 {
		f := queue[0]
		queue = queue[1:]
		for _, n := range neighbours[f] {
			want := turn[f] != n.same
			if !seen[n.face] {
				seen[n.face], turn[n.face] = true, want
				queue = append(queue, n.face)
			} else if turn[n.face] != want {
				return false
			}
		}
	}
	for _, s := range seen {
		if !s {
			return false
		}
	}
	return true
}

func turnFace(f *face) {
	rings := make([][]float64, len(f.rings))
	for i, ring := range f.rings {
		rings[i] = reversed(ring)
	}
	f.rings = rings
}

// volume is the signed volume within faces, m³.
func volume(faces []face) float64 {
	g := build(&spatial.Geometry{Kind: spatial.Solid, Shells: []int32{int32(len(faces))}, Solids: []int32{1}}, [][]face{faces})
	return g.ShellVolume(0)
}

func less(a, b [3]float64) bool {
	for k := range 3 {
		if a[k] != b[k] {
			return a[k] < b[k]
		}
	}
	return false
}
