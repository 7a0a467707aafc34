#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// Puts the slots of each expert together and cuts them into tiles of at most TILE for matmul; see mod.rs. One workgroup.
layout(constant_id = 1) const uint EXPERTS = 8;
layout(constant_id = 2) const uint SLOTS = 2; // experts chosen a row

layout(push_constant, std430) uniform Push {
  Words row_count;      // [0] = rows that hold a token
  Words experts;        // (rows, SLOTS)
  MutableWords groups;  // (tiles) of {expert, first, count, 0}, then the order of the slots
  uint tiles;
};

const uint TILE = 64;

shared uint counts[EXPERTS];
shared uint cursors[EXPERTS];
shared uint tiles_in_use;

uint tiles_of(uint count) { return (count + TILE - 1) / TILE; }

void store_tile(uint tile, uvec3 words) {
  [[unroll]] for (uint i = 0; i < 3; ++i) groups.at[4 * tile + i] = words[i];
  groups.at[4 * tile + 3] = 0;
}

void main() {
  uint lane = gl_LocalInvocationIndex;
  uint slots = row_count.at[0] * SLOTS;
  for (uint e = lane; e < EXPERTS; e += gl_WorkGroupSize.x) counts[e] = 0;
  barrier();
  for (uint slot = lane; slot < slots; slot += gl_WorkGroupSize.x) atomicAdd(counts[experts.at[slot]], 1);
  barrier();
  for (uint e = lane; e < EXPERTS; e += gl_WorkGroupSize.x) {
    uint first = 0, tile = 0;
    for (uint i = 0; i < e; ++i) {
      first += counts[i];
      tile += tiles_of(counts[i]);
    }
    cursors[e] = first;
    uint end = first + counts[e];
    for (; first < end; first += TILE, ++tile) store_tile(tile, uvec3(e, first, min(TILE, end - first)));
    if (e == EXPERTS - 1) tiles_in_use = tile;
  }
  barrier();
  for (uint tile = tiles_in_use + lane; tile < tiles; tile += gl_WorkGroupSize.x) store_tile(tile, uvec3(0));
  for (uint slot = lane; slot < slots; slot += gl_WorkGroupSize.x)
    groups.at[4 * tiles + atomicAdd(cursors[experts.at[slot]], 1)] = slot;
}
