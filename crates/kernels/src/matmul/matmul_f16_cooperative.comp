#version 460
#extension GL_GOOGLE_include_directive : require
#define WEIGHTS_F16
#include "cooperative.glsl"
