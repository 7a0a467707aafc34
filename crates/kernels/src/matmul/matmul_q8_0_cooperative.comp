#version 460
#extension GL_GOOGLE_include_directive : require
#define WEIGHTS_Q8_0
#include "cooperative.glsl"
