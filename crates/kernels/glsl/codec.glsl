// What the kernels of the vorticity codec share: `codec.rs` is its twin.
const uint LOW = 0;
const uint MID = 1;
const uint HIGH = 2;
const uint ANCHOR = 3;

// The place of a cell in a vector: its band in two bits, above them the index in the low band or among the anchors.
uint band_of(uint place) { return place & 3u; }
uint index_of(uint place) { return place >> 2; }

// How many anchors a vector's K stands for.
uint kept_anchors(float k, uint anchor_count) {
  return uint(clamp(roundEven(k), 0.0, float(anchor_count)));
}
