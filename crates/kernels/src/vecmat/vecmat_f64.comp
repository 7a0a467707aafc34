#version 460
#extension GL_GOOGLE_include_directive : require
#define REAL_F64
#include "common.glsl"
#include "real.glsl"
#include "vecmat.glsl"
