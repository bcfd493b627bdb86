// A session over the engine's own WebSocket, for ws:// and wss:// addresses. Everything happens on the game thread.
#pragma once

#include "Core/TcpClient.h"

#include "CoreMinimal.h"

class IWebSocket;

class FTexBridgeWebSocket
{
public:
	FTexBridgeWebSocket(std::shared_ptr<texbridge::Session> InSession, const FString& InUrl);
	~FTexBridgeWebSocket();

	/** Sends what waits, connects again when it is time. */
	void Tick();

private:
	void Connect();
	void Ended(const texbridge::Fault& Why);
	void Received(const void* Data, SIZE_T Size, bool bIsLastFragment);

	std::shared_ptr<texbridge::Session> Session;
	FString Url;
	TSharedPtr<IWebSocket> Socket;
	texbridge::FragmentAssembler Fragments;
	texbridge::Backoff Backoff;
	texbridge::Clock::time_point RetryAt;
	bool bIsOpen = false;
	bool bIsConnecting = false;
};
