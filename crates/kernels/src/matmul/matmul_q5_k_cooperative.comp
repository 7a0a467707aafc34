#version 460
#extension GL_GOOGLE_include_directive : require
#define WEIGHTS_Q5_K
#include "cooperative.glsl"
