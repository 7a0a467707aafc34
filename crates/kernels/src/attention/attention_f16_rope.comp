#version 460
#extension GL_GOOGLE_include_directive : require
#define KV_F16
#include "rope/decode.glsl"
