#version 460
#extension GL_GOOGLE_include_directive : require
#define WEIGHTS_Q4_0
#include "cooperative.glsl"
