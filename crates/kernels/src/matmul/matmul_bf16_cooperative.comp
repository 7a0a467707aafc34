#version 460
#extension GL_GOOGLE_include_directive : require
#define WEIGHTS_BF16
#include "cooperative.glsl"
