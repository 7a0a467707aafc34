#version 460
#extension GL_GOOGLE_include_directive : require
#define REAL_F32
#include "common.glsl"
#include "real.glsl"
#include "vecmat_batch.glsl"
