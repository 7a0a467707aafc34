#version 460
#extension GL_GOOGLE_include_directive : require
#define WEIGHTS_Q2_K
#include "cooperative.glsl"
