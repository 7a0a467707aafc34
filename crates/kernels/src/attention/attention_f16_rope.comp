#version 460
#extension GL_GOOGLE_include_directive : require
#define KV_F16
#define ATTENTION_ROPE
#include "attention.glsl"
