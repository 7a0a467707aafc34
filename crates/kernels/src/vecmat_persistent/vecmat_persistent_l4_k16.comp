#version 460
#extension GL_GOOGLE_include_directive : require
#define LANES_K 4
#define VALUES_K 16
#include "common.glsl"
#include "vecmat_persistent.glsl"
